/*
 * config_values: from the text of a YAML scalar to a checked value of one kind. Inner header of the
 * configuration reader.
 *
 * Each config_read_*() is a reader for a row of a key table (see struct config_key): it fills a field of the
 * type named here, or describes the error. No value is quoted in a message where a secret could have been
 * written by mistake.
 */
#ifndef SENDPOST_CONFIG_CONFIG_VALUES_H
#define SENDPOST_CONFIG_CONFIG_VALUES_H

#include "config/config_yaml.h"

#define CONFIG_READER(name)                                                                            \
    bool name(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node, \
              const struct config_key *key, void *field)

CONFIG_READER(config_read_bool);          /* bool: true/false, yes/no, on/off */
CONFIG_READER(config_read_number);        /* int64_t, key->min to key->max */
CONFIG_READER(config_read_count);         /* uint32_t, key->min to key->max */
CONFIG_READER(config_read_port);          /* uint16_t */
CONFIG_READER(config_read_size);          /* int64_t bytes: 1000, 10K, 50M, 1G */
CONFIG_READER(config_read_duration);      /* int64_t milliseconds, key->min to key->max: 30s, 5m, 1h, 7d */
CONFIG_READER(config_read_word);          /* enum; key->detail: its words in order, NULL at the end */
CONFIG_READER(config_read_text);          /* char * */
CONFIG_READER(config_read_name);          /* char *: letters, digits, '-', '_', '.' */
CONFIG_READER(config_read_absolute_path); /* char * */
CONFIG_READER(config_read_directory);     /* char *: an existing one */
CONFIG_READER(config_read_file);          /* char *: an existing one */
CONFIG_READER(config_read_host);          /* char *: name or address literal; brackets are taken off */
CONFIG_READER(config_read_helo_name);     /* char *: a name or an address literal as RFC 5321 writes them */
CONFIG_READER(config_read_service);       /* char *: lower-case letters, digits, '-' */
CONFIG_READER(config_read_noted_file);   /* char *: an existing one, among the sources of the configuration */
CONFIG_READER(config_read_private_path); /* char *: likewise, that others cannot read */
CONFIG_READER(config_read_domain);       /* char *: a name, no address */
CONFIG_READER(config_read_endpoint);     /* char *: https URL, http on loopback; NULL for "none" */
CONFIG_READER(config_read_url);          /* char *: https URL, http on loopback */
CONFIG_READER(config_read_listen);       /* char *: address:port; NULL for "none" */
CONFIG_READER(config_read_log_path);     /* char *: path or "journal" */
CONFIG_READER(config_read_rate_per_hour);  /* struct config_rate from a bare number */
CONFIG_READER(config_read_rate);           /* struct config_rate: 100/h, 10/m, 2000/d, 100 */
CONFIG_READER(config_read_provider_rates); /* struct config_rate[PROVIDER_COUNT] */
CONFIG_READER(config_read_secret);         /* char *: given inline */
CONFIG_READER(config_read_secret_file);    /* char *: given as a path to it; must not be given inline, too */
CONFIG_READER(config_read_uuid_keys);      /* struct uuid_keys: given as a path to the file */
CONFIG_READER(config_read_mapping);        /* key->detail: the table for the same struct, one level down */
CONFIG_READER(config_read_later);          /* nothing: read by hand after the others */

/* Those of the file at the default place; none when there is no such file, which is noted, too. One that
 * cannot be read is an error. */
bool config_find_uuid_keys(struct config_reader *reader, const char *path, struct uuid_keys *keys_r)
    __attribute__((nonnull));
CONFIG_READER(config_read_share);   /* uint32_t millionths, above 0: 0.5, 30% */
CONFIG_READER(config_read_mapping); /* key->detail: the table for the same struct, one level down */
CONFIG_READER(config_read_later);   /* nothing: read by hand after the others */

/* A name, an IPv4 address, or an IPv6 address with or without brackets. */
bool config_host_valid(const char *text) __attribute__((nonnull));

/* Whether text of the form "192.0.2.1", "192.0.2.1:53", "2001:db8::1" or "[2001:db8::1]:53" is an address,
 * with a port only as asked for. */
bool config_address_valid(const char *text, bool port_needed, bool port_allowed) __attribute__((nonnull));

#endif
