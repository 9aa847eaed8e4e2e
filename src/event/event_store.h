/*
 * event_store: the events table of the store. It is the outbox (pending rows are still to be reported), the
 * proof that a delivery was accepted (never sent twice after a crash), and the history that `sendpostctl
 * events` shows.
 */
#ifndef SENDPOST_EVENT_STORE_H
#define SENDPOST_EVENT_STORE_H

#include "base/store.h"
#include "event/event.h"

enum event_state {
    EVENT_PENDING,  /* to be reported */
    EVENT_REPORTED, /* the API has it */
    EVENT_REJECTED, /* the API refused this event alone; never retried */
    EVENT_LOCAL,    /* kept here only: endpoint none, or a kind that the configuration does not report */
};

const char *event_state_name(enum event_state state) __attribute__((returns_nonnull));
bool event_state_by_name(const char *name, enum event_state *state_r) __attribute__((nonnull));

/*
 * Insert, inside a transaction of the caller or as one of its own with STORE_NORMAL. An event whose event_id
 * is there already is left as it is (true). A pending row is first due at due_ms (clock_realtime_ms()): the
 * writer's own time to report it before anybody else tries.
 */
bool event_store_add(struct store *store, const struct event *event, enum event_state state, int64_t due_ms,
                     struct outcome *error_r) __attribute__((nonnull));

/*
 * Whether this queue id, message and recipient were delivered before (CS_DELIVERED or CS_SENT from the pipe);
 * fills event_r and state_r. -1 with *error_r set when the store cannot tell.
 */
int event_store_find_accepted(struct store *store, const char *queue_id, const char *message_id,
                              const char *recipient, struct event *event_r, enum event_state *state_r,
                              struct outcome *error_r) __attribute__((nonnull));

#endif
