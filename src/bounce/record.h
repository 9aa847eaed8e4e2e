/*
 * record: the failed recipients of a report become events, in the store and then at the API, and, where the
 * postmaster wants it, entries of the suppression list.
 *
 * A report can be forged by anybody who can guess or has seen a bounce address. So what our own store knows of the
 * message is trusted more than the report: the recipient that the message went to, when the report names a
 * single other one (the mail was forwarded, say); and an address is suppressed only when the store shows that
 * this message was sent to it.
 */
#ifndef SENDPOST_BOUNCE_RECORD_H
#define SENDPOST_BOUNCE_RECORD_H

#include "base/config.h"
#include "base/store.h"
#include "bounce/report.h"
#include "event/event.h"

/* What the store knows of the message of a report: an event of it that is no bounce. */
struct record_sent {
    bool known;
    struct event event;
};

bool record_find_sent(struct store *store, const char *message_id, struct record_sent *sent_r,
                      struct outcome *error_r) __attribute__((nonnull));

/* The event of one recipient of the report. sent: NULL or not known is fine. now_ms: clock_realtime_ms(). */
void record_event(struct event *event_r, const struct report *report,
                  const struct report_recipient *recipient, const char *message_id,
                  const struct record_sent *sent, int64_t now_ms) __attribute__((nonnull(1, 2, 3, 4)));

/*
 * All events of the report, and what is suppressed, in one transaction that survives a power cut. The caller
 * reports them afterwards.
 */
bool record_store(struct store *store, const struct config *config, const struct event *events, size_t count,
                  const struct record_sent *sent, int64_t now_ms, struct outcome *error_r)
    __attribute__((nonnull));

/* Count a message that made no event, by why: kept in the store under "bounce.WHY". */
bool record_count(struct store *store, const char *why, struct outcome *error_r) __attribute__((nonnull));

#endif
