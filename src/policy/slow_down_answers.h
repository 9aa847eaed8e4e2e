/*
 * slow_down_answers: how many messages were attempted, deferred and bounced of late, and how fast, for a TPSP
 * or one of its mailbox providers: ten buckets in the shared table, each a tenth of the window. It may all be
 * lost at any time; then it is counted anew.
 */
#ifndef SENDPOST_POLICY_SLOW_DOWN_ANSWERS_H
#define SENDPOST_POLICY_SLOW_DOWN_ANSWERS_H

#include "policy/rate_table.h"

struct slow_down_counts {
    uint64_t attempts, deferred, bounced;
};

/* scope: "all" or the mailbox provider. window_ns: the same for all callers. */
void slow_down_count(struct rate_table *table, const char *tpsp, const char *scope, int64_t window_ns,
                     struct slow_down_counts counts) __attribute__((nonnull));

/* What was counted in the window that ends now, but not before since_ns. */
struct slow_down_counts slow_down_counted(struct rate_table *table, const char *tpsp, const char *scope,
                                          int64_t window_ns, int64_t since_ns) __attribute__((nonnull));

/*
 * The fastest that was attempted over the last part of the window, whatever its length: as slow_down_rate()
 * counts; 0: nothing was.
 */
int64_t slow_down_measured(struct rate_table *table, const char *tpsp, const char *scope, int64_t window_ns)
    __attribute__((nonnull));

/*
 * In a cluster what is slowed down is the limit of all hosts, and what is measured is the rate of one. How
 * much all of them send for each message of this host, in millionths, as its agent has it from the others;
 * and that rate times it. Until somebody says so, and after a minute in which nobody has: the rate.
 */
void slow_down_note_hosts(struct rate_table *table, const char *cluster, int64_t all_per_own_ppm)
    __attribute__((nonnull));
int64_t slow_down_of_all_hosts(struct rate_table *table, const char *cluster, int64_t rate)
    __attribute__((nonnull));

/*
 * A message for this domain was accepted; and whether one for any other was of late. The first two domains
 * are remembered.
 */
void slow_down_note_domain(struct rate_table *table, const char *tpsp, const char *domain)
    __attribute__((nonnull));
bool slow_down_other_domain(struct rate_table *table, const char *tpsp, const char *domain)
    __attribute__((nonnull));

/* FNV-1a, without regard to case; never 0. */
uint32_t slow_down_hash(const char *text) __attribute__((nonnull));

#endif
