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
#define SUPPRESSION_ORIGIN_SENDPOST "sendpost" /* made at SendPost; else "" or the id of a host */

struct suppression_change {
    int64_t sequence; /* grows with each change on this host */
    struct suppression entry;
    bool removed;
    int64_t changed_ms;                   /* clock_realtime_ms() of who made it */
    char origin[SUPPRESSION_ORIGIN_SIZE]; /* "": made on this host */
    bool heard;                           /* from the hosts of the cluster, who know it */
};

/* Which changes are read: nobody is told what he has told. */
enum suppression_scope {
    SUPPRESSION_FOR_SENDPOST, /* all but those that were made there */
    SUPPRESSION_FOR_CLUSTER,  /* those that came into it by this host: made here, or taken from SendPost */
    SUPPRESSION_FOR_ANYBODY,  /* for a server that knows nothing */
};

/*
 * Up to limit changes behind sequence after, the oldest first. *seen_r: up to where all changes are among
 * them, or do not belong to the scope: it is to be read on from there. -1 with *error_r set.
 */
int suppression_journal_read(struct store *store, int64_t after, enum suppression_scope scope, int limit,
                             struct suppression_change *changes_r, int64_t *seen_r, struct outcome *error_r)
    __attribute__((nonnull));

/* A change that somebody else made: 1 when it counts now, 0 when a later one is known, -1 with *error_r set.
 * self: by what origin others know the changes of this host. Inside a transaction of the caller. */
int suppression_journal_apply(struct store *store, const struct suppression_change *change, const char *self,
                              struct outcome *error_r) __attribute__((nonnull));

/* 1 when the last change of an address is that it was added for this reason, 0 when not, -1 with *error_r
 * set. */
int suppression_journal_holds(struct store *store, const struct suppression *entry, struct outcome *error_r)
    __attribute__((nonnull));

#endif
