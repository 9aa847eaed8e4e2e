/*
 * config_schema: the tables of known keys and the checks that span several of them. Inner header of the
 * configuration reader.
 */
#ifndef SENDPOST_CONFIG_CONFIG_SCHEMA_H
#define SENDPOST_CONFIG_CONFIG_SCHEMA_H

#include "config/config.h"
#include "config/config_values.h"

#define CONFIG_DEFAULT_ENDPOINT "https://events.sendpost.io/api/v1/tpsp/custom-smtp/events"
#define CONFIG_DEFAULT_CA_PATH "/etc/ssl/certs"
#define CONFIG_DEFAULT_UUID_KEY SYSCONFDIR "/uuid-key"

/* Fill *config, which is all zero, from the document; what the file leaves out has its default. */
bool config_schema_read(struct config_reader *reader, struct config *config) __attribute__((nonnull));

CONFIG_READER(config_read_tpsps); /* field: struct config */
CONFIG_READER(config_read_pools); /* field: struct config, its tpsps read before */

CONFIG_READER(config_read_oauth); /* field: struct config_oauth */
void config_oauth_free(struct config_oauth *oauth) __attribute__((nonnull));
CONFIG_READER(config_read_sendpost); /* field: struct config_sendpost */
void config_sendpost_free(struct config_sendpost *sendpost) __attribute__((nonnull));
CONFIG_READER(config_read_warm_up); /* field: struct config_warm_up */
CONFIG_READER(config_read_cluster); /* field: struct config_cluster */
void config_cluster_free(struct config_cluster *cluster) __attribute__((nonnull));

/* An error of the key in this mapping: at its line where it is there, else at the mapping's. Always false. */
bool config_fail_key(struct config_reader *reader, const struct config_place *place,
                     const yaml_node_t *mapping, const char *key, const char *why)
    __attribute__((nonnull(1, 3, 4, 5)));

/* One or the other, checked; afterwards the default directory where neither is given. */
bool config_check_tls(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      struct config_tls *tls) __attribute__((nonnull(1, 3, 4)));

#endif
