/*
 * event_outbox: the pending rows of the events table. A part of event_report; nobody else includes it.
 *
 * Functions that write do so inside a transaction of the caller, or as one of their own with STORE_NORMAL.
 * Two processes would be given the same events: event_report sees to it that one at a time asks.
 */
#ifndef SENDPOST_EVENT_EVENT_OUTBOX_H
#define SENDPOST_EVENT_EVENT_OUTBOX_H

#include "event/event_store.h"

/* What became of it: state and other_word of the row are set. A row that is no longer pending
 * stays. */
bool event_outbox_settle(struct store *store, const struct event *event, enum event_state state,
                         struct outcome *error_r) __attribute__((nonnull));

/* It stays pending, in its place in the order: its writer is no longer at it. put_off_ms > 0: it was tried
 * alone, and is not given out for so long. */
bool event_outbox_keep(struct store *store, const struct event *event, int64_t now_ms, int64_t put_off_ms,
                       struct outcome *error_r) __attribute__((nonnull));

/* How often it was put off; 0 when it is not there. */
int event_outbox_tries(struct store *store, const struct event *event) __attribute__((nonnull));

/* The first TPSP name after this one, in byte order, that has pending events ("" is a name, too; NULL
 * begins): 1 with *tpsp_r for the caller to free, 0 when there is none, -1 with *error_r set. */
int event_outbox_next_tpsp(struct store *store, const char *after, char **tpsp_r, struct outcome *error_r)
    __attribute__((nonnull(1, 3, 4)));

/*
 * Up to limit pending events of one TPSP that were due at now_ms, the oldest, in order. When there are more,
 * a quarter of them are instead the newest of those due at fresh_ms, so that what happens
 * now does not wait behind a backlog: *fresh_r (if asked for) of them, at the end.
 *
 * A message's events stay in order: a new one is not among them while an older one of its message is pending,
 * and one that was put off holds up its message, though not for ever (EVENT_OUTBOX_TRIES). -1 with *error_r
 * set on failure.
 */
#define EVENT_OUTBOX_TRIES 8
int event_outbox_read(struct store *store, const char *tpsp, int64_t now_ms, int64_t fresh_ms, int limit,
                      struct event *events_r, int *fresh_r, struct outcome *error_r)
    __attribute__((nonnull(1, 2, 6, 8)));

/*
 * Up to limit pending events of the same message and recipient as this one, which is the newest: what has to
 * be reported before it. *put_off_r: some of it is put off, so this one has to wait. -1 with *error_r set on
 * failure.
 */
int event_outbox_older(struct store *store, const struct event *event, int64_t now_ms, int limit,
                       struct event *events_r, bool *put_off_r, struct outcome *error_r)
    __attribute__((nonnull));

/* Give out also what was put off. */
bool event_outbox_hasten(struct store *store, int64_t now_ms, struct outcome *error_r)
    __attribute__((nonnull));

#endif
