/*
 * event_store: the events table of the store. It is the outbox (event/event_outbox.h), the
 * proof that a delivery was accepted (never sent twice after a crash) or dropped (never sent after that), and
 * the history that `sendpostctl events` shows.
 *
 * Functions that write do so inside a transaction of the caller, or as one of their own with STORE_NORMAL.
 */
#ifndef SENDPOST_EVENT_EVENT_STORE_H
#define SENDPOST_EVENT_EVENT_STORE_H

#include "event/event.h"
#include "store/store.h"

enum event_state {
    EVENT_PENDING,  /* to be reported */
    EVENT_REPORTED, /* the API has it */
    EVENT_REJECTED, /* the API refused this event alone; never retried */
    EVENT_LOCAL,    /* kept here only: endpoint none, or a kind that the configuration does not report */
};
#define EVENT_STATE_COUNT 4

const char *event_state_name(enum event_state state) __attribute__((returns_nonnull));
bool event_state_by_name(const char *name, enum event_state *state_r) __attribute__((nonnull));

/* What people know a message by; "" where it is not known. */
#define EVENT_MAIL_SIZE 512
struct event_mail {
    char message_id[EVENT_MAIL_SIZE]; /* the field Message-ID, RFC 5322 section 3.6.4 */
    char subject[EVENT_MAIL_SIZE];    /* decoded as far as it could be, valid UTF-8 */
};

/*
 * Insert. An event whose event_id is there already is left as it is (true). A pending row is first due at
 * due_ms (clock_realtime_ms()): the writer's own time to report it before anybody else tries.
 */
bool event_store_add(struct store *store, const struct event *event, enum event_state state, int64_t due_ms,
                     struct outcome *error_r) __attribute__((nonnull));
/* The same, with what the message is known by; NULL: nothing. */
bool event_store_add_of(struct store *store, const struct event *event, const struct event_mail *mail,
                        enum event_state state, int64_t due_ms, struct outcome *error_r)
    __attribute__((nonnull(1, 2, 6)));

/* The event in that row: 1, 0 when there is none, -1 with *error_r set. */
int event_store_read(struct store *store, int64_t row, struct event *event_r, enum event_state *state_r,
                     struct event_mail *mail_r, struct outcome *error_r) __attribute__((nonnull));

/*
 * Whether this queue id, message and recipient, with this content (delivery/message.h), came to their end
 * before: accepted (CS_DELIVERED or CS_SENT from the pipe) or dropped (CS_DROPPED); fills event_r and
 * state_r. -1 with *error_r set when the store cannot tell.
 */
int event_store_find_final(struct store *store, const char *queue_id, const char *message_id,
                           const char *recipient, const char *content, struct event *event_r,
                           enum event_state *state_r, struct outcome *error_r) __attribute__((nonnull));

/* Whether the store knows of an attempt at it: an event, or a row of the retry ladder. -1 with *error_r
 * set. */
int event_store_knows(struct store *store, const char *queue_id, const char *message_id,
                      const char *recipient, struct outcome *error_r) __attribute__((nonnull));

/*
 * What is known here of a message that was sent: an event of pipe or agent for each recipient, perhaps
 * several, of EVENT_SENT_MAX rows at most. see() returns false to stop. Nothing else may be done with the
 * store in see().
 */
#define EVENT_SENT_MAX 20000
bool event_store_sent(struct store *store, const char *message_id,
                      bool (*see)(void *context, const struct event *event), void *context,
                      struct outcome *error_r) __attribute__((nonnull(1, 2, 3, 5)));

/* Rejected events are pending again, due at now_ms (clock_realtime_ms()): those of one message, or all where
 * message_id is NULL. Their number; -1 with *error_r set. */
int64_t event_store_retry_rejected(struct store *store, const char *message_id, int64_t now_ms,
                                   struct outcome *error_r) __attribute__((nonnull(1, 4)));

/* --- history ------------------------------------------------------------------------------------ */

bool event_store_count(struct store *store, enum event_state state, int64_t *count_r, struct outcome *error_r)
    __attribute__((nonnull));

struct event_filter {
    bool by_state;
    enum event_state state;
    int64_t since_ms;       /* timestamp; 0: any */
    const char *message_id; /* NULL: any */
    const char *recipient;  /* NULL: any; the domain without regard to case */
};

/* Calls see() for each event in order of arrival until it returns false; those that come meanwhile may be
 * among them. */
bool event_store_each(struct store *store, const struct event_filter *filter,
                      bool (*see)(void *context, const struct event *event, enum event_state state),
                      void *context, struct outcome *error_r) __attribute__((nonnull(1, 2, 3, 5)));

/* The same for the last ones, so many at most: they are looked for from the end. */
bool event_store_last(struct store *store, const struct event_filter *filter, size_t limit,
                      bool (*see)(void *context, const struct event *event, enum event_state state),
                      void *context, struct outcome *error_r) __attribute__((nonnull(1, 2, 4, 6)));

/* The number of the latest row, 0 when there is none; -1 with *error_r set. */
int64_t event_store_newest(struct store *store, struct outcome *error_r) __attribute__((nonnull));

/* The same as event_store_each() for some of the rows behind that number: the last that was looked at, or the
 * number itself when there is none behind it; -1 with *error_r set. */
int64_t event_store_behind(struct store *store, const struct event_filter *filter, int64_t number,
                           bool (*see)(void *context, const struct event *event, enum event_state state),
                           void *context, struct outcome *error_r) __attribute__((nonnull(1, 2, 4, 6)));

/* How many events of what kind there were since since_ms, and how many of them after recent_ms, both to the
 * minute: a call for each TPSP ("": none was asked, or the MTA says it) and kind of event. Nothing else may
 * be done with the store in see(). */
bool event_store_tally(struct store *store, int64_t since_ms, int64_t recent_ms,
                       void (*see)(void *context, const char *tpsp, enum event_cs cs, uint64_t count,
                                   uint64_t recent),
                       void *context, struct outcome *error_r) __attribute__((nonnull(1, 4, 6)));

/* How many deliveries after since_ms, to the minute, took a slot of the limits of that TPSP: it was reached,
 * whatever came of it. provider: NULL for all. */
bool event_store_used(struct store *store, const char *tpsp, const char *provider, int64_t since_ms,
                      uint64_t *used_r, struct outcome *error_r) __attribute__((nonnull(1, 2, 5, 6)));

/* What happened before is not counted any more, some of it in one call; nor are blocks known of which
 * every event is gone. */
bool event_store_forget(struct store *store, int64_t before_ms, struct outcome *error_r)
    __attribute__((nonnull));

/* The last deliveries of the pipe that failed, not before since_ms: up to limit, the newest first. -1 with
 * *error_r set. */
int event_store_failures(struct store *store, int64_t since_ms, int limit, struct event *events_r,
                         struct outcome *error_r) __attribute__((nonnull));

/*
 * Delete events that are older than before_ms and not pending, but not what proves that a message which may
 * still be in the queue came to its end (event_store_find_final()) and is not older than proof_ms, of at most
 * EVENT_SWEEP_ROWS rows in one call, so that nobody waits long for a call: each row is at a random place of
 * the index, some 20 us. *from is the row to begin at: 0 the first time, then what the last call has left
 * there; it is 0 again when what follows is not old. Returns how many; -1 with *error_r set. event_report
 * calls it.
 */
#define EVENT_SWEEP_ROWS 32
int event_store_sweep(struct store *store, int64_t before_ms, int64_t proof_ms, int64_t *from,
                      struct outcome *error_r) __attribute__((nonnull));

#endif
