/*
 * domain_watch: whether the names that bounces go to lead where they should, as the DNS says now and then,
 * while somebody looks. By a thread of its own: name servers that do not answer take their time. Safe in any
 * thread.
 */
#ifndef SENDPOST_AGENT_DOMAIN_WATCH_H
#define SENDPOST_AGENT_DOMAIN_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define DOMAIN_WATCH_MAX 20

struct domain_fact {
    char name[256];
    bool known; /* the DNS has answered */
    bool leads;
    char note[200]; /* what it said */
};

struct domain_watch;

/* NULL: mail leaves with its own sender, or nobody says for which domains. config outlives it. */
struct domain_watch *domain_watch_start(const struct config *config) __attribute__((nonnull));

/* How many there are; at the first call perhaps none yet. NULL is fine. */
size_t domain_watch_look(struct domain_watch *watch, struct domain_fact facts_r[DOMAIN_WATCH_MAX])
    __attribute__((nonnull(2)));

#endif
