#include "event/event_row.h"

#include <string.h>

void event_row_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void event_row_bind(sqlite3_stmt *statement, const struct event *event)
{
    event_row_bind_text(statement, 1, event->event_id);
    event_row_bind_text(statement, 2, event->message_id);
    sqlite3_bind_int(statement, 3, (int)event->cs);
    sqlite3_bind_int(statement, 4, event->other_word);
    sqlite3_bind_int(statement, 5, (int)event->source);
    sqlite3_bind_int64(statement, 6, event->timestamp_ms);
    event_row_bind_text(statement, 7, event->recipient);
    event_row_bind_text(statement, 8, event->sender);
    event_row_bind_text(statement, 9, event->queue_id);
    sqlite3_bind_int(statement, 10, event->smtp_code);
    event_row_bind_text(statement, 11, event->smtp_enhanced_code);
    event_row_bind_text(statement, 12, event->smtp_description);
    event_row_bind_text(statement, 13, event->tpsp);
    sqlite3_bind_int64(statement, 14, event->tpsp_id);
    event_row_bind_text(statement, 15, event->provider);
    sqlite3_bind_int(statement, 16, event->attempt);
}

static void read_text(sqlite3_stmt *row, int column, char *buffer, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    size_t length = text ? strnlen(text, size - 1) : 0;

    if (length > 0)
        memcpy(buffer, text, length);
    buffer[length] = '\0';
}

void event_row_read(sqlite3_stmt *row, struct event *event_r)
{
    memset(event_r, 0, sizeof *event_r);
    read_text(row, 0, event_r->event_id, sizeof event_r->event_id);
    read_text(row, 1, event_r->message_id, sizeof event_r->message_id);
    event_r->cs = (enum event_cs)sqlite3_column_int(row, 2);
    event_r->other_word = sqlite3_column_int(row, 3) != 0;
    event_r->source = (enum event_source)sqlite3_column_int(row, 4);
    event_r->timestamp_ms = sqlite3_column_int64(row, 5);
    read_text(row, 6, event_r->recipient, sizeof event_r->recipient);
    read_text(row, 7, event_r->sender, sizeof event_r->sender);
    read_text(row, 8, event_r->queue_id, sizeof event_r->queue_id);
    event_r->smtp_code = sqlite3_column_int(row, 9);
    read_text(row, 10, event_r->smtp_enhanced_code, sizeof event_r->smtp_enhanced_code);
    read_text(row, 11, event_r->smtp_description, sizeof event_r->smtp_description);
    read_text(row, 12, event_r->tpsp, sizeof event_r->tpsp);
    event_r->tpsp_id = sqlite3_column_int64(row, 13);
    read_text(row, 14, event_r->provider, sizeof event_r->provider);
    event_r->attempt = sqlite3_column_int(row, 15);
    event_r->row = sqlite3_column_int64(row, EVENT_ROW_COUNT);
}

static int64_t hex_8(const char *digits)
{
    int64_t number = 0;

    for (int i = 0; i < 8 && digits[i] != '\0'; i++)
        number = number << 4 | (digits[i] <= '9' ? digits[i] & 15 : (digits[i] & 15) + 9);
    return number;
}

int64_t event_row_first(const char *message_id)
{
    int64_t end = strlen(message_id) == UUID_SIZE - 1 ? hex_8(message_id + UUID_SIZE - 9) : 0;

    return ((hex_8(message_id) + end) & INT32_MAX) << 32;
}

int64_t event_row_last(const char *message_id)
{
    return event_row_first(message_id) | UINT32_MAX;
}

int64_t event_row_identity(const struct event *event)
{
    return event_row_first(event->message_id) | hex_8(event->event_id);
}
