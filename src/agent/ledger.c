#include "agent/ledger.h"

#include <stdio.h>
#include <string.h>

#include "agent/ledger_event.h"
#include "base/uuid.h"
#include "event/event_report.h"
#include "event/event_store.h"
#include "policy/suppression.h"

/* --- rows --------------------------------------------------------------------------------------- */

/* A row of agent_recipient: recipients that were deferred have nth 0, one row each; fates that wait for a
 * UUID are told apart by their time. */
struct row {
    uint64_t key;
    bool waiting;
    int64_t nth;
    int64_t reported_ms;
    const unsigned char *uuid; /* NULL: not known */
    struct event event;
};

static bool report(struct ledger *ledger, struct event *event, const unsigned char uuid[16])
{
    int changes = sqlite3_total_changes(store_handle(ledger->store));

    ledger_event_identify(event, uuid);
    ledger->counts.events[event->cs]++;
    if (ledger->feed != NULL)
        feed_event(ledger->feed, event, ledger->now_ms);
    /* due by when it happened: what happened first is reported first; a log of a machine whose clock is ahead
     * does not wait */
    if (!event_store_add(ledger->store, event, event_report_state(ledger->config, event),
                         event->timestamp_ms < ledger->now_ms ? event->timestamp_ms : ledger->now_ms,
                         &ledger->error))
        return false;
    /* of a log that is read again: who was taken off the list since stays off it */
    bool is_new = sqlite3_total_changes(store_handle(ledger->store)) > changes;
    return event->cs != CS_HARD_BOUNCED || !is_new ||
           suppression_after_hard_bounce(ledger->store, ledger->config, event->recipient, event->timestamp_ms,
                                         &ledger->error) >= 0;
}

static bool put_row(struct ledger *ledger, const struct row *row)
{
    sqlite3_stmt *statement = store_statement(
        ledger->store,
        "INSERT OR REPLACE INTO agent_recipient (key, waiting, recipient, nth, uuid, reported_ms,"
        " timestamp_ms, cs, queue_id, smtp_code, smtp_enhanced_code, smtp_description)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &ledger->error);
    if (statement == NULL)
        return false;
    sqlite3_bind_int64(statement, 1, (int64_t)row->key);
    sqlite3_bind_int(statement, 2, row->waiting);
    sqlite3_bind_text(statement, 3, row->event.recipient, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, row->nth);
    if (row->uuid != NULL)
        sqlite3_bind_blob(statement, 5, row->uuid, 16, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 6, row->reported_ms);
    sqlite3_bind_int64(statement, 7, row->event.timestamp_ms);
    sqlite3_bind_int(statement, 8, (int)row->event.cs);
    sqlite3_bind_text(statement, 9, row->event.queue_id, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 10, row->event.smtp_code);
    sqlite3_bind_text(statement, 11, row->event.smtp_enhanced_code, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 12, row->event.smtp_description, -1, SQLITE_STATIC);
    return store_run(ledger->store, statement, &ledger->error);
}

/* A statement with the key bound to its first parameter. */
static sqlite3_stmt *with_key(struct ledger *ledger, const char *sql, uint64_t key)
{
    sqlite3_stmt *statement = store_statement(ledger->store, sql, &ledger->error);

    if (statement != NULL)
        sqlite3_bind_int64(statement, 1, (int64_t)key);
    return statement;
}

static bool drop_deferred(struct ledger *ledger, uint64_t key, const char *recipient)
{
    sqlite3_stmt *statement =
        with_key(ledger, "DELETE FROM agent_recipient WHERE key = ? AND waiting = 0 AND recipient = ?", key);

    if (statement == NULL)
        return false;
    sqlite3_bind_text(statement, 2, recipient, -1, SQLITE_STATIC);
    return store_run(ledger->store, statement, &ledger->error);
}

/* When this recipient's deferral was last reported; 0: never, -1: the store failed. */
static int64_t reported_before(struct ledger *ledger, uint64_t key, const char *recipient)
{
    sqlite3_stmt *statement = with_key(
        ledger, "SELECT reported_ms FROM agent_recipient WHERE key = ? AND waiting = 0 AND recipient = ?",
        key);
    int64_t reported_ms = 0;

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 2, recipient, -1, SQLITE_STATIC);
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        reported_ms = sqlite3_column_int64(statement, 0);
    else if (result != SQLITE_DONE) {
        store_error(ledger->store, "look up a deferred recipient", &ledger->error);
        reported_ms = -1;
    }
    sqlite3_reset(statement);
    return reported_ms;
}

static void read_text(char *text_r, size_t size, sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    size_t length = text != NULL ? strnlen((const char *)text, size - 1) : 0;

    if (length > 0)
        memcpy(text_r, text, length);
    text_r[length] = '\0';
}

/* Of the first column: 16 bytes, or as text. NULL: it is none. */
static const unsigned char *read_uuid(sqlite3_stmt *statement, unsigned char uuid_r[16])
{
    if (sqlite3_column_type(statement, 0) == SQLITE_BLOB && sqlite3_column_bytes(statement, 0) == 16)
        return memcpy(uuid_r, sqlite3_column_blob(statement, 0), 16);
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    if (text == NULL || !uuid_valid(text, strlen(text)))
        return NULL;
    uuid_bytes(uuid_r, text);
    return uuid_r;
}

/* --- notes -------------------------------------------------------------------------------------- */

/* Repeated deferrals of one recipient are reported at most every report.deferred-interval. */
static bool on_deferred(struct ledger *ledger, const struct track_note *note, struct row *row)
{
    int64_t interval = ledger->config->report.deferred_interval_ms,
            before = note->noted ? reported_before(ledger, note->key, row->event.recipient) : 0;

    if (before < 0)
        return false;
    row->uuid = note->uuid;
    row->reported_ms = before;
    if (before > 0 && note->time_ms < before + interval)
        ledger->counts.coalesced++;
    else if (!report(ledger, &row->event, note->uuid))
        return false;
    else
        row->reported_ms = note->time_ms;
    return put_row(ledger, row);
}

static bool on_fate(struct ledger *ledger, const struct track_note *note, struct row *row)
{
    if (note->uuid == NULL) {
        row->waiting = true;
        row->nth = note->time_ms;
        return put_row(ledger, row);
    }
    if (note->verb == TRACK_DEFERRED)
        return on_deferred(ledger, note, row);
    return report(ledger, &row->event, note->uuid) &&
           (!note->noted || drop_deferred(ledger, note->key, row->event.recipient));
}

static bool on_own_deferred(struct ledger *ledger, const struct track_note *note, struct row *row)
{
    unsigned char uuid[16] = {0};

    row->uuid = note->uuid;
    if (note->line->uuid.length > 0) { /* each recipient of the pipe may have its own */
        uuid_bytes(uuid, note->line->uuid.at);
        row->uuid = uuid;
    } else if (note->line->kind == POSTFIX_LOG_DELIVERY && note->noted) {
        return true; /* pipe(8) says again what sendpost-pipe has said, and knows less */
    }
    return put_row(ledger, row);
}

/*
 * The pipe had no time to say the UUID of this recipient: it is that of an earlier attempt, or of the one
 * that was under way. Without it there is nothing that SendPost could put this to.
 */
static bool on_own_killed(struct ledger *ledger, const struct track_note *note, struct row *row)
{
    unsigned char uuid[16];
    sqlite3_stmt *statement =
        note->uuid != NULL
            ? NULL
            : with_key(
                  ledger,
                  "SELECT uuid FROM agent_recipient WHERE key = ?1 AND waiting = 0 AND recipient = ?2 AND "
                  "uuid IS NOT NULL UNION ALL SELECT message_id FROM deliveries WHERE queue_id = ?3 AND "
                  "recipient = ?2 UNION ALL SELECT message_id FROM intents WHERE queue_id = ?3 AND "
                  "recipient = ?2",
                  note->key);
    struct track_note known = *note;

    if (note->uuid == NULL && statement == NULL)
        return false;
    if (statement != NULL) {
        sqlite3_bind_text(statement, 2, row->event.recipient, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 3, row->event.queue_id, -1, SQLITE_STATIC);
        int result = sqlite3_step(statement);
        if (result == SQLITE_ROW)
            known.uuid = read_uuid(statement, uuid);
        else if (result != SQLITE_DONE)
            store_error(ledger->store, "look up whose delivery was ended", &ledger->error);
        sqlite3_reset(statement);
        if (result != SQLITE_ROW && result != SQLITE_DONE)
            return false;
    }
    return on_fate(ledger, &known, row);
}

/* The UUID of a row, or the message's. */
static const unsigned char *uuid_of(sqlite3_stmt *statement, int column, const struct track_note *note)
{
    return sqlite3_column_bytes(statement, column) == 16 ? sqlite3_column_blob(statement, column)
                                                         : note->uuid;
}

/* Rows become events: those deferred have bounced by expiry, those that waited are what they are. */
static bool release(struct ledger *ledger, const struct track_note *note, bool waiting)
{
    sqlite3_stmt *statement = with_key(
        ledger,
        "SELECT recipient, uuid, timestamp_ms, cs, queue_id, smtp_code, smtp_enhanced_code, smtp_description"
        " FROM agent_recipient WHERE key = ?1 AND waiting = ?2 ORDER BY timestamp_ms, recipient",
        note->key);
    int result;
    bool ok = statement != NULL;

    if (ok)
        sqlite3_bind_int(statement, 2, waiting);
    while (ok && (result = sqlite3_step(statement)) != SQLITE_DONE) {
        struct event event = {.source = EVENT_SOURCE_AGENT};
        if (result != SQLITE_ROW) {
            store_error(ledger->store, "read the recipients of a message", &ledger->error);
            ok = false;
            break;
        }
        const unsigned char *uuid = uuid_of(statement, 1, note);
        if (uuid == NULL)
            continue;
        read_text(event.recipient, sizeof event.recipient, statement, 0);
        event.timestamp_ms = waiting ? sqlite3_column_int64(statement, 2) : note->time_ms;
        event.cs = waiting ? (enum event_cs)sqlite3_column_int(statement, 3) : CS_SOFT_BOUNCED;
        read_text(event.queue_id, sizeof event.queue_id, statement, 4);
        event.smtp_code = sqlite3_column_int(statement, 5);
        read_text(event.smtp_enhanced_code, sizeof event.smtp_enhanced_code, statement, 6);
        read_text(event.smtp_description, sizeof event.smtp_description, statement, 7);
        snprintf(event.sender, sizeof event.sender, "%.*s", (int)note->sender.length,
                 note->sender.length > 0 ? note->sender.at : "");
        ledger->counts.released += waiting;
        ok = report(ledger, &event, uuid);
    }
    if (statement != NULL)
        sqlite3_reset(statement);
    return ok;
}

static bool run_on_key(struct ledger *ledger, const char *sql, uint64_t key)
{
    sqlite3_stmt *statement = with_key(ledger, sql, key);

    return statement != NULL && store_run(ledger->store, statement, &ledger->error);
}

/* Those that waited and were deferred are deferred still, unless more became of them while they waited. */
static bool on_adopted(struct ledger *ledger, const struct track_note *note)
{
    return release(ledger, note, true) &&
           run_on_key(
               ledger,
               "UPDATE OR REPLACE agent_recipient SET waiting = 0, nth = 0, reported_ms = timestamp_ms"
               " WHERE key = ?1 AND waiting = 1 AND cs = 61" /* CS_DEFERRED */
               " AND NOT EXISTS (SELECT 1 FROM agent_recipient AS later WHERE later.key = ?1 AND"
               " later.waiting = 1 AND later.recipient = agent_recipient.recipient AND later.cs != 61)",
               note->key) &&
           run_on_key(ledger, "DELETE FROM agent_recipient WHERE key = ? AND waiting = 1", note->key);
}

static bool on_moved(struct ledger *ledger, const struct track_note *note)
{
    sqlite3_stmt *statement =
        with_key(ledger, "UPDATE OR REPLACE agent_recipient SET key = ?2 WHERE key = ?1", note->key);

    if (statement == NULL)
        return false;
    sqlite3_bind_int64(statement, 2, (int64_t)note->other_key);
    return store_run(ledger->store, statement, &ledger->error);
}

bool ledger_note(void *context, const struct track_note *note)
{
    struct ledger *ledger = context;
    struct row row;

    row.key = note->key;
    row.waiting = false;
    row.nth = row.reported_ms = 0;
    row.uuid = NULL;
    switch (note->verb) {
    case TRACK_DELIVERED:
    case TRACK_BOUNCED:
    case TRACK_DEFERRED:
    case TRACK_DISCARDED:
        ledger_event_describe(&row.event, note, ledger->rules);
        return on_fate(ledger, note, &row);
    case TRACK_OWN_DEFERRED:
        ledger_event_describe(&row.event, note, ledger->rules);
        return on_own_deferred(ledger, note, &row);
    case TRACK_OWN_KILLED:
        ledger_event_describe(&row.event, note, ledger->rules);
        return on_own_killed(ledger, note, &row);
    case TRACK_OWN_SETTLED:
        if (!note->noted)
            return true;
        ledger_event_describe(&row.event, note, ledger->rules);
        return drop_deferred(ledger, note->key, row.event.recipient);
    case TRACK_EXPIRED:
        return release(ledger, note, false) &&
               run_on_key(ledger, "DELETE FROM agent_recipient WHERE key = ? AND waiting = 0", note->key);
    case TRACK_ADOPTED:
        return on_adopted(ledger, note);
    case TRACK_MOVED:
        return on_moved(ledger, note);
    case TRACK_FORGOTTEN:
        return run_on_key(ledger, "DELETE FROM agent_recipient WHERE key = ?", note->key);
    }
    return true;
}
