/*
 * suppression_journal: the last change of each address of the suppression list, for those who share the list
 * with others: the hosts of a cluster, SendPost's API. The journal is written by triggers of the tables
 * themselves (store/schema.sql), so that nobody changes the list beside it. It has one row for each address
 * that was ever on the list: a removal is remembered, too.
 *
 * Of two changes of one address the later one counts, by the clocks of those who made them; of two in the
 * same millisecond the one with the greater origin. So all who know the same changes know the same list, in
 * whatever order they heard of them.
 *
 * Functions that write do so inside a transaction of the caller, or as one of their own with STORE_NORMAL.
 */
#ifndef SENDPOST_POLICY_SUPPRESSION_JOURNAL_H
#define SENDPOST_POLICY_SUPPRESSION_JOURNAL_H

#include "policy/suppression.h"

#define SUPPRESSION_ORIGIN_SIZE 40

struct suppression_change {
    int64_t sequence; /* grows with each change on this host */
    struct suppression entry;
    bool removed;
    int64_t changed_ms;                   /* clock_realtime_ms() of who made it */
    char origin[SUPPRESSION_ORIGIN_SIZE]; /* "": made on this host */
};

/* Up to limit changes behind sequence after, the oldest first; own: those that were made on this host. -1
 * with *error_r set. */
int suppression_journal_read(struct store *store, int64_t after, bool own, int limit,
                             struct suppression_change *changes_r, struct outcome *error_r)
    __attribute__((nonnull));

/* A change that somebody else made: 1 when it counts now, 0 when a later one is known, -1 with *error_r set.
 * Inside a transaction of the caller. */
int suppression_journal_apply(struct store *store, const struct suppression_change *change,
                              struct outcome *error_r) __attribute__((nonnull));

#endif
