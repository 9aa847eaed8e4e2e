/*
 * event_row: an event as a row of the events table. A part of event_store and event_outbox; of others the
 * status page alone reads rows (agent/page_tally.h).
 *
 * The column identity is a hash for look-ups: 31 bits of the message UUID above 32 bits of the event id. Both
 * ends of a message UUID take part, since applications choose it and one end of a time-based one hardly
 * changes. Whoever looks by it compares the ids themselves as well.
 */
#ifndef SENDPOST_EVENT_EVENT_ROW_H
#define SENDPOST_EVENT_EVENT_ROW_H

#include <sqlite3.h>

#include "event/event.h"

/* In the order of event_row_read() and event_row_bind(); parameters 1 to EVENT_ROW_COUNT. */
#define EVENT_ROW_COLUMNS                                                                       \
    "event_id, message_id, cs, other_word, source, timestamp_ms, recipient, sender, queue_id, " \
    "smtp_code, smtp_enhanced_code, smtp_description, tpsp, tpsp_id, provider, attempt"
#define EVENT_ROW_COUNT 16

/* With the row's number behind them, which event_row_read() takes, too. */
#define EVENT_ROW_COLUMNS_ID EVENT_ROW_COLUMNS ", id"

void event_row_bind(sqlite3_stmt *statement, const struct event *event) __attribute__((nonnull));
void event_row_read(sqlite3_stmt *row, struct event *event_r) __attribute__((nonnull));

void event_row_bind_text(sqlite3_stmt *statement, int index, const char *text) __attribute__((nonnull));

/* The lowest and the highest identity of the events of a message. */
int64_t event_row_first(const char *message_id) __attribute__((nonnull));
int64_t event_row_last(const char *message_id) __attribute__((nonnull));

int64_t event_row_identity(const struct event *event) __attribute__((nonnull));

#endif
