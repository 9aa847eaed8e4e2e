/*
 * bounce_event: the failed recipients of a report become events, in the store and then at the API, and, where
 * the postmaster wants it, entries of the suppression list.
 *
 * A report can be forged by anybody who can guess or has seen a bounce address. So what our own store knows
 * of the message is trusted more than the report: the recipient that the message went to, when the report
 * names a single other one (the mail was forwarded, say); and an address is suppressed only when the store
 * shows that this message was sent to it.
 */
#ifndef SENDPOST_BOUNCE_BOUNCE_EVENT_H
#define SENDPOST_BOUNCE_BOUNCE_EVENT_H

#include "bounce/dsn.h"
#include "config/config.h"
#include "event/event.h"
#include "store/store.h"

/* What the store knows of the message of a report: an event of it that is no bounce. */
struct bounce_sent {
    bool known;
    struct event event;
};

bool bounce_event_find_sent(struct store *store, const char *message_id, struct bounce_sent *sent_r,
                            struct outcome *error_r) __attribute__((nonnull));

/* The event of one recipient of the report. sent: NULL or not known is fine. now_ms: clock_realtime_ms(). */
void bounce_event_compose(struct event *event_r, const struct dsn *report,
                          const struct dsn_recipient *recipient, const char *message_id,
                          const struct bounce_sent *sent, int64_t now_ms)
    __attribute__((nonnull(1, 2, 3, 4)));

/*
 * All events of the report, and what is suppressed, in one transaction that survives a power cut. The caller
 * reports them afterwards.
 */
bool bounce_event_store(struct store *store, const struct config *config, const struct event *events,
                        size_t count, const struct bounce_sent *sent, int64_t now_ms, struct outcome *error_r)
    __attribute__((nonnull));

/* Count a message that made no event, by why: kept in the store under "bounce.WHY". */
bool bounce_event_count(struct store *store, const char *why, struct outcome *error_r)
    __attribute__((nonnull));

#endif
