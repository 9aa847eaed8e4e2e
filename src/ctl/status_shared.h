/* status_shared: the lines of `sendpostctl status` about what this host has in common with others: tokens
 * with their provider, lists with SendPost, limits and lists with the hosts of its cluster, complaints. */
#ifndef SENDPOST_CTL_STATUS_SHARED_H
#define SENDPOST_CTL_STATUS_SHARED_H

#include "ctl/ctl.h"
#include "store/store.h"

/* "Agent     ok, version …", made safe for a terminal. */
void status_line(const char *what, bool ok, const char *text) __attribute__((nonnull));

/* "fleet at valkey1:6379 (8.0.1), 3 hosts, an answer takes 0.2 ms", as the agent sees it, for the caller to
 * free; NULL: it does not say. */
char *status_cluster_words(const struct config *config, struct json_object *agent, bool *ok_r)
    __attribute__((nonnull(1, 3)));

/* agent: its /health; NULL: it does not answer. */
void status_shared_print(const struct config *config, struct store *store, struct json_object *agent)
    __attribute__((nonnull(1, 2)));

/* The same as members of object. */
void status_shared_json(const struct config *config, struct store *store, struct json_object *object)
    __attribute__((nonnull));

#endif
