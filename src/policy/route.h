/*
 * route: who of a pool comes first for a message. With strategy by-provider the mailbox provider of the
 * recipient says so, with by-sender-domain the sender domain as return_path.h has it, which is that of From:.
 * A route for a domain holds for its subdomains, too, and the longest one that fits counts; where none fits,
 * "default" does, and without that the members come in their order.
 */
#ifndef SENDPOST_POLICY_ROUTE_H
#define SENDPOST_POLICY_ROUTE_H

#include "config/config.h"

/* What is known of a message. */
struct route_facts {
    enum provider_category provider;
    const char *sender_domain; /* lower case; "": there is none, or it is not known */
};

/* The route that holds; NULL: none, also of the other strategies. */
const struct config_route *route_find(const struct config_pool *pool, const struct route_facts *facts)
    __attribute__((nonnull));

/* Whether name is domain or a name below it. Both lower case, without a final dot. */
bool route_covers(const char *domain, const char *name) __attribute__((nonnull));

#endif
