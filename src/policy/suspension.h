/*
 * suspension: a TPSP, a mailbox provider at a TPSP, or a pool to which a person lets nothing go for a time
 * (sendpostctl suspend, resume). Mail for it waits in Postfix's queue as if over a rate: CAUSE_RATE, which is
 * no attempt, no event and no step of the retry ladder. A member of a pool that is suspended is passed over
 * for the others, and for the overflow; mail of a pool that is suspended waits, and what overflows to it,
 * too.
 *
 * It is an entry of the rate table (RATE_WINDOW_KEPT), where pauses and breakers are, so that all processes
 * of this host see it at once, and it outlives them and the boot. It is on disk before suspension_begin()
 * says so. It ends at a time of the wall clock, by itself: whoever looks first after that clears it, and says
 * so in the log. Killed in the midst of it: there is none, or the old one, perhaps with the new words, or the
 * new one. Where the table is lost, it is, too: nothing is suspended.
 *
 * A host of a cluster suspends for itself: the others go on.
 */
#ifndef SENDPOST_POLICY_SUSPENSION_H
#define SENDPOST_POLICY_SUSPENSION_H

#include "config/config.h"
#include "policy/rate_table.h"

#define SUSPENSION_REASON_SIZE 113
#define SUSPENSION_OPEN INT64_MAX /* until_ms: until it is resumed */

struct suspension {
    int64_t began_ms, until_ms; /* clock_realtime_ms() */
    char reason[SUSPENSION_REASON_SIZE];
};

/* What is suspended: exactly one of tpsp and pool is a name; provider NULL: all of them. */
struct suspension_scope {
    const char *tpsp, *provider, *pool;
};

/* "TPSP primary", "TPSP primary (provider gmail)", "pool bulk" */
#define SUSPENSION_NAME_SIZE 160
char *suspension_name(const struct suspension_scope *scope, char buffer[SUSPENSION_NAME_SIZE])
    __attribute__((nonnull));

/* "until 2026-11-26T14:00:00Z (maintenance)", "until it is resumed" */
#define SUSPENSION_TEXT_SIZE 160
char *suspension_text(const struct suspension *suspension, char buffer[SUSPENSION_TEXT_SIZE])
    __attribute__((nonnull));

/* In the place of one that there is. False with *error_r set: nothing has changed, or it may be lost with the
 * power. */
bool suspension_begin(struct rate_table *table, const struct suspension_scope *scope,
                      const struct suspension *suspension, struct outcome *error_r) __attribute__((nonnull));

/* Whether there was one. */
bool suspension_end(struct rate_table *table, const struct suspension_scope *scope) __attribute__((nonnull));

/* False: there is none, or its time is over. */
bool suspension_look(struct rate_table *table, const struct suspension_scope *scope, int64_t now_ms,
                     struct suspension *suspension_r) __attribute__((nonnull));

/* Before a decision: the scope is suspended. *until_r is when it ends (the table's clock; INT64_MAX: nobody
 * can say), *why_r the deferral. */
bool suspension_bars(struct rate_table *table, const struct suspension_scope *scope, int64_t now_ms,
                     int64_t *until_r, struct outcome *why_r) __attribute__((nonnull));

/* Each that there is of a configuration: TPSPs with their providers, then pools. */
void suspension_each(const struct config *config, struct rate_table *table, int64_t now_ms,
                     void (*see)(void *context, const struct suspension_scope *scope,
                                 const struct suspension *suspension),
                     void *context) __attribute__((nonnull(1, 2, 4)));

#endif
