/*
 * warm_up: a new sending address is made known slowly: so many messages on the first day, more on the next,
 * for a TPSP as a whole and for mailbox providers, by the plan of the key `warm-up`; the last day of the plan
 * ends it. A day is one of the calendar (UTC) and counts only when something was accepted on it, and when not
 * too much of what was sent was deferred or bounced (slow-down.statistics): else the same number holds for
 * the next one, too.
 *
 * The number of the day is the limit of any 24 hours, an ordinary one (rate_limit.h), beside the others.
 * Where we are in the plan is one word in the table for each plan, which changes by compare-and-swap; it
 * outlives restarts and reboots. Without the file the plan begins anew. A clock that jumps ahead by days
 * makes one of them, one that goes back none: what was accepted on a date that is later than tomorrow now
 * does not count, and today is that day of the plan.
 */
#ifndef SENDPOST_POLICY_WARM_UP_H
#define SENDPOST_POLICY_WARM_UP_H

#include "config/config.h"
#include "policy/rate_limit.h"

/* The limits of today are added to the set, as far as there are any. looks: no decision follows, and nothing
 * is said. now_ms: clock_realtime_ms(). */
void warm_up_apply(struct rate_table *table, struct rate_set *set, uint32_t burst, bool looks, int64_t now_ms)
    __attribute__((nonnull));

/* Something was accepted; or what is sent does not do well: provider NULL: of the TPSP as a whole. */
void warm_up_accepted(struct rate_table *table, const struct config_tpsp *tpsp, const char *provider,
                      int64_t now_ms) __attribute__((nonnull(1, 2)));
void warm_up_hold(struct rate_table *table, const struct config_tpsp *tpsp, const char *provider,
                  int64_t now_ms) __attribute__((nonnull(1, 2)));

/* For people. */
struct warm_up_view {
    size_t day, days; /* from 1 */
    uint32_t limit;
    bool accepted, held; /* today */
};

/* False: there is no such plan, it has not begun, or it is over. */
bool warm_up_look(struct rate_table *table, const struct config_tpsp *tpsp, const char *provider,
                  int64_t now_ms, struct warm_up_view *view_r) __attribute__((nonnull(1, 2, 5)));

#endif
