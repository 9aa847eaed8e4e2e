/*
 * bounce_event: the failures of a report that is believed (bounce/belief.h) become events, in the store and
 * then at the API, and, where the postmaster wants it, entries of the suppression list.
 */
#ifndef SENDPOST_BOUNCE_BOUNCE_EVENT_H
#define SENDPOST_BOUNCE_BOUNCE_EVENT_H

#include "bounce/belief.h"
#include "bounce/dsn.h"
#include "config/config.h"
#include "event/event.h"
#include "store/store.h"

/* The event of one recipient of a report. recipient: whom the message was given to; sent: what the store
 * knows of it, or NULL. now_ms: clock_realtime_ms(). */
void bounce_event_compose(struct event *event_r, const struct dsn *report, const struct dsn_recipient *said,
                          const char *recipient, const char *message_id, const struct event *sent,
                          int64_t now_ms) __attribute__((nonnull(1, 2, 3, 4, 5)));

/*
 * All events of the report, one for each failure, and what is suppressed, in one transaction that survives a
 * power cut. The caller reports them afterwards.
 */
bool bounce_event_store(struct store *store, const struct config *config, const struct dsn *report,
                        const struct belief *belief, struct event *events_r, int64_t now_ms,
                        struct outcome *error_r) __attribute__((nonnull));

/*
 * Count a message that made no event, by why: kept in the store under "bounce.WHY". told_r: how many there
 * have been since the last one that was to be logged, this one among them; 0 when this one is not, because
 * one was less than a minute ago. So a flood of them costs a few lines.
 */
bool bounce_event_count(struct store *store, const char *why, int64_t now_ms, uint64_t *told_r,
                        struct outcome *error_r) __attribute__((nonnull));

#endif
