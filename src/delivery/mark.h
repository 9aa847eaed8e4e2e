/*
 * mark: STATE_DIR/marks, where a delivery says how far it has come when the store may not be able to take it.
 * The file is as large as it will ever be and mapped: a mark needs no room on the disk, no descriptor and no
 * system call, and outlives the death of its process. See doc/protocol.md.
 *
 * A delivery holds one place under its key from before MAIL until its outcome is in the store:
 *
 *   MARK_BEGUN      the final dot was not sent, or the server has answered it and did not accept
 *   MARK_DOT        the final dot is being sent: the message may have been accepted
 *   MARK_ACCEPTED   it was accepted, and the event that says so is here
 *
 * Whoever works on a key holds its claim (delivery/claim.h). Marks are not synced: after a power cut an
 * accepted one may be gone or stand, and the others of that boot say nothing any more. One that is torn, or
 * whose event is another delivery's, proves nothing: it counts as MARK_DOT.
 */
#ifndef SENDPOST_DELIVERY_MARK_H
#define SENDPOST_DELIVERY_MARK_H

#include <stdint.h>

#include "base/outcome.h"
#include "event/event.h"

enum mark_state { MARK_NONE, MARK_BEGUN, MARK_DOT, MARK_ACCEPTED };

struct mark_table;

/* NULL with *error_r set (4.3.0). */
struct mark_table *mark_table_open(const char *state_dir, struct outcome *error_r) __attribute__((nonnull));
/* That of others; none is made. NULL with errno ENOENT when there is none, or one that is not ours to read.
 */
struct mark_table *mark_table_find(const char *state_dir, struct outcome *error_r) __attribute__((nonnull));
void mark_table_close(struct mark_table *table); /* NULL is fine */

#define MARK_PLACES 512
/* Acceptances that wait for the store. */
int mark_count_accepted(struct mark_table *table) __attribute__((nonnull));

/* A number for this boot of the machine, never 0. */
int64_t mark_boot(const struct mark_table *table) __attribute__((nonnull));

/* The place of this key, -1 when it has none. *state_r is MARK_BEGUN for one of an earlier boot that is not
 * accepted. */
int mark_find(struct mark_table *table, int64_t key, enum mark_state *state_r) __attribute__((nonnull));

/* The place of this key, which becomes MARK_BEGUN; claim: its offset (claim_offset()). -1 with *error_r set
 * when all places are taken by deliveries that are under way, or were accepted and are not in the store yet,
 * and when the file was taken away. */
int mark_begin(struct mark_table *table, int64_t key, int64_t claim, struct outcome *error_r)
    __attribute__((nonnull));

/* place: as mark_begin() or mark_find() gave it. False when the file was taken away: nothing is marked. */
bool mark_set(struct mark_table *table, int place, enum mark_state state) __attribute__((nonnull));
void mark_accept(struct mark_table *table, int place, const struct event *event) __attribute__((nonnull));
/* The event of an accepted one; false when what is there is none. */
bool mark_event(struct mark_table *table, int place, struct event *event_r) __attribute__((nonnull));
/* The outcome is in the store: the place is free. */
void mark_end(struct mark_table *table, int place) __attribute__((nonnull));

/*
 * What was accepted and has not come into the store, and nobody is at it any more: the message may never come
 * back. keep() is called with each such event while its claim is held, and says whether the place is free
 * now.
 */
void mark_each_left(struct mark_table *table,
                    bool (*keep)(void *context, int64_t key, const struct event *event), void *context)
    __attribute__((nonnull(1, 2)));

#endif
