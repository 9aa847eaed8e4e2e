/*
 * sync: the suppression list of the account and this host's are one list, both ways, with reason and time;
 * and what SendPost knows of the sender domains. A step at a time, one request each, so that whoever calls
 * can stop, show progress and be killed: what was done is on record with each step.
 *
 * First changes go out (the journal of suppression_journal.h says which). Then what is new there comes in:
 * all of it once a day, in windows of 60 days as the API has them, else what was made since yesterday. Of two
 * changes of one address the later counts. That an entry is absent from a whole pass is no removal: each is
 * looked up by itself, and when more than one in a hundred are gone at once nothing is removed here before a
 * person confirms it. An API that is away, slow or in trouble changes nothing that is known.
 *
 * Of the hosts of a cluster one leads: it sends what any of them has changed, and what it takes goes to the
 * others (policy/suppression_share.h). A host that begins to lead reads the whole list before it sends, so
 * that it sends what is missing and no more. The domains each host reads for itself.
 */
#ifndef SENDPOST_SENDPOST_SYNC_H
#define SENDPOST_SENDPOST_SYNC_H

#include <stdio.h>

#include "config/config.h"
#include "store/store.h"

struct sync;

struct sync_counts {
    uint64_t sent, taken, removed; /* changes: from here to there, from there to here, removals of these */
    uint64_t seen;                 /* entries that were read there */
    uint64_t refused;              /* changes of ours that the API does not take */
    uint64_t gone;                 /* entries that are gone there, and wait for somebody to confirm it */
    unsigned done, all;            /* of a whole pass: windows of time; all 0: none is under way */
};

enum sync_progress { SYNC_DONE, SYNC_MORE, SYNC_TROUBLE };

/* config->sendpost.endpoint is not NULL. All outlive it. */
struct sync *sync_open(const struct config *config, struct store *store, FILE *trace)
    __attribute__((nonnull(1, 2), returns_nonnull));
void sync_close(struct sync *sync); /* NULL is fine */

/* Begin a whole pass, whenever the last one was; confirmed: remove here what is gone there, however much it
 * is. */
bool sync_begin(struct sync *sync, bool confirmed, struct outcome *error_r) __attribute__((nonnull));

enum sync_role {
    SYNC_LEADER,   /* of its cluster, or alone: without sync_play() */
    SYNC_FOLLOWER, /* another host leads */
    SYNC_UNKNOWN,  /* nobody can tell who leads: the list has to wait */
};

/* From the next step on. */
void sync_play(struct sync *sync, enum sync_role role) __attribute__((nonnull));

/* TROUBLE: *error_r says why; try again after sync_wait_ms(). DONE: until there is something new. */
enum sync_progress sync_step(struct sync *sync, struct outcome *error_r) __attribute__((nonnull));
int64_t sync_wait_ms(const struct sync *sync) __attribute__((nonnull));

const struct sync_counts *sync_counts(const struct sync *sync) __attribute__((nonnull, returns_nonnull));

#endif
