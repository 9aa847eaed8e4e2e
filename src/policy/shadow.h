/*
 * shadow: limits that are counted and never enforced (key `shadow` of a TPSP): each message that was let
 * through is held against them in lanes of their own, and what they would have deferred is counted and said
 * in the log. So a postmaster sees what a limit would do before it does it.
 */
#ifndef SENDPOST_POLICY_SHADOW_H
#define SENDPOST_POLICY_SHADOW_H

#include "policy/rate_limit.h"

/* After a message was let through. */
void shadow_take(struct rate_table *table, struct rate_set *set) __attribute__((nonnull));

/* How many messages the limit would have deferred, since it is counted. */
uint64_t shadow_deferred(struct rate_table *table, const char *tpsp, const struct rate_limit *limit)
    __attribute__((nonnull));

/* Begin to count anew. */
void shadow_reset(struct rate_table *table, const struct rate_set *set) __attribute__((nonnull));

#endif
