/* What the store knows of messages: events, the retry ladder, the suppression list. See trace_private.h. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "policy/standing.h"
#include "policy/suppression.h"
#include "trace/trace_private.h"

/* --- finding ---------------------------------------------------------------------------------------- */

static bool note_event(void *context, const struct event *event, enum event_state state,
                       const struct event_mail *mail)
{
    struct trace *trace = context;
    struct trace_message *message =
        trace_message_for(trace, event->message_id, event->queue_id, event->recipient);

    (void)state;
    if (message != NULL && message->mail.message_id[0] == '\0' && message->mail.subject[0] == '\0')
        message->mail = *mail;
    return message != NULL;
}

/* What waits, and has no event yet. The table is small: what is in Postfix's queue, and not for the first
 * time. */
static bool find_waiting(struct trace *trace, unsigned kinds, struct outcome *error_r)
{
    sqlite3_stmt *rows =
        store_statement(trace->request->store,
                        "SELECT message_id, queue_id, recipient FROM deliveries"
                        " WHERE (?1 & 2 AND queue_id = ?2)"
                        " OR (?1 & 4 AND recipient = ?2 COLLATE NOCASE)"
                        " OR (?1 & 1 AND substr(message_id, 1, length(?2)) = lower(?2))"
                        " OR (?1 & 16 AND substr(recipient, -length(?3)) = ?3 COLLATE NOCASE)"
                        " ORDER BY last_ms DESC",
                        error_r);
    AUTO_FREE char *domain = xasprintf("@%s", trace_domain(trace->request->what));
    struct trace_message *message;
    int row = -1;

    if (rows == NULL)
        return false;
    sqlite3_bind_int(rows, 1, (int)kinds);
    sqlite3_bind_text(rows, 2, trace->request->what, -1, SQLITE_STATIC);
    sqlite3_bind_text(rows, 3, domain, -1, SQLITE_STATIC);
    while ((row = store_step(trace->request->store, rows, error_r)) == 1) {
        message = trace_message_for(trace, (const char *)sqlite3_column_text(rows, 0),
                                    (const char *)sqlite3_column_text(rows, 1),
                                    (const char *)sqlite3_column_text(rows, 2));
        if (message == NULL)
            break;
    }
    sqlite3_reset(rows);
    sqlite3_clear_bindings(rows);
    return row >= 0;
}

bool trace_find_in_store(struct trace *trace, struct outcome *error_r)
{
    static const struct {
        enum trace_kind kind;
        enum event_word word;
    } words[] = {{TRACE_UUID, EVENT_WORD_UUID},
                 {TRACE_QUEUE_ID, EVENT_WORD_QUEUE_ID},
                 {TRACE_ADDRESS, EVENT_WORD_RECIPIENT},
                 {TRACE_HEADER_ID, EVENT_WORD_HEADER_MESSAGE_ID},
                 {TRACE_DOMAIN, EVENT_WORD_DOMAIN}};
    const struct trace_request *request = trace->request;
    unsigned kinds = trace_kinds(request->what);

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const char *text = words[i].kind == TRACE_DOMAIN ? trace_domain(request->what) : request->what;
        bool complete = true;
        if ((kinds & words[i].kind) == 0)
            continue;
        if (!event_index_each(request->store, words[i].word, text, request->until_ms, note_event, trace,
                              &complete, error_r))
            return false;
        trace->complete = trace->complete && complete;
    }
    return find_waiting(trace, kinds, error_r);
}

/* --- events ----------------------------------------------------------------------------------------- */

struct reading {
    struct trace *trace;
    struct trace_message *message;
};

static const char *saying(const struct event *event)
{
    return event->source == EVENT_SOURCE_BOUNCE  ? "a bounce says"
           : event->source == EVENT_SOURCE_AGENT ? "the log says"
           : event->smtp_code > 0                ? "it said"
                                                 : "";
}

static void add_event(struct trace_message *message, const struct event *event, enum event_state state)
{
    const char *said = saying(event);
    char code[16] = "";

    if (event->smtp_code > 0)
        snprintf(code, sizeof code, "%d ", event->smtp_code);
    AUTO_FREE char *text =
        xasprintf("%s%s%s%s%s%s", event->tpsp[0] != '\0' ? event->tpsp : "",
                  event->tpsp[0] != '\0' && *said != '\0' ? ", " : "", said,
                  event->tpsp[0] != '\0' || *said != '\0' ? ": " : "", code, event->smtp_description);
    struct json_object *entry =
        trace_add(message->story, event->timestamp_ms, "store", event_type(event), text);
    json_object_object_add(entry, "event_id", json_object_new_string(event->event_id));
    json_object_object_add(entry, "state", json_object_new_string(event_state_name(state)));
    if (event->tpsp[0] != '\0')
        json_object_object_add(entry, "tpsp", json_object_new_string(event->tpsp));
    if (event->smtp_code > 0)
        json_object_object_add(entry, "smtp_code", json_object_new_int(event->smtp_code));
    if (event->smtp_enhanced_code[0] != '\0')
        json_object_object_add(entry, "smtp_enhanced_code",
                               json_object_new_string(event->smtp_enhanced_code));
    if (event->attempt > 0)
        json_object_object_add(entry, "attempt", json_object_new_int(event->attempt));
}

static bool read_event(void *context, const struct event *event, enum event_state state)
{
    struct reading *reading = context;
    struct trace_message *message = reading->message;

    if (strcasecmp(event->recipient, message->recipient) != 0 ||
        (event->queue_id[0] != '\0' && message->queue_id[0] != '\0' &&
         strcmp(event->queue_id, message->queue_id) != 0))
        return true;
    add_event(message, event, state);
    if (!message->has_event || event->timestamp_ms >= message->event.timestamp_ms) {
        message->event = *event;
        message->event_state = state;
        message->has_event = true;
    }
    if (event->sender[0] != '\0' && message->sender[0] == '\0')
        snprintf(message->sender, sizeof message->sender, "%s", event->sender);
    if (event->timestamp_ms > message->last_ms)
        message->last_ms = event->timestamp_ms;
    return clock_monotonic_ms() < reading->trace->request->until_ms;
}

/* --- ladder and suppression -------------------------------------------------------------------------- */

static void read_standing(const struct trace *trace, struct trace_message *message, const char *name)
{
    const struct config_tpsp *tpsp = config_tpsp_by_name(trace->request->config, name);
    struct standing standing;
    struct outcome ignored;

    if (tpsp != NULL && standing_read(trace->request->store, tpsp, &standing, &ignored) &&
        standing.held_ms != 0)
        snprintf(message->held_for, sizeof message->held_for, "%s: %s", name, standing.text);
    else
        snprintf(message->held_for, sizeof message->held_for, "%s", name);
}

static bool read_ladder(const struct trace *trace, struct trace_message *message, struct outcome *error_r)
{
    struct store *store = trace->request->store;
    sqlite3_stmt *row =
        store_statement(store,
                        "SELECT attempts, held, due_ms, last_ms, tpsp, sender, smtp_code, smtp_description"
                        " FROM deliveries WHERE queue_id = ? AND recipient = ?",
                        error_r);

    if (row == NULL)
        return false;
    sqlite3_bind_text(row, 1, message->queue_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, message->recipient, -1, SQLITE_STATIC);
    int found = store_step(store, row, error_r);
    char tpsp[EVENT_NAME_SIZE] = "";
    if (found == 1) {
        message->in_ladder = true;
        message->attempts = sqlite3_column_int(row, 0);
        message->held = sqlite3_column_int(row, 1) != 0;
        message->due_ms = sqlite3_column_int64(row, 2);
        snprintf(tpsp, sizeof tpsp, "%s", (const char *)sqlite3_column_text(row, 4));
        snprintf(message->sender, sizeof message->sender, "%s", (const char *)sqlite3_column_text(row, 5));
        int64_t last_ms = sqlite3_column_int64(row, 3);
        if (message->held) {
            int code = sqlite3_column_int(row, 6);
            AUTO_FREE char *text =
                code > 0 ? xasprintf("%s: %d %s", tpsp, code, (const char *)sqlite3_column_text(row, 7))
                         : xasprintf("%s: %s", tpsp, (const char *)sqlite3_column_text(row, 7));
            trace_add(message->story, last_ms, "store", "held", text);
        }
        if (last_ms > message->last_ms)
            message->last_ms = last_ms;
    }
    sqlite3_reset(row);
    sqlite3_clear_bindings(row);
    if (message->held)
        read_standing(trace, message, tpsp);
    return found >= 0;
}

static bool read_suppression(const struct trace *trace, struct trace_message *message,
                             struct outcome *error_r)
{
    struct suppression found;
    int result = suppression_find(trace->request->store, message->recipient,
                                  suppression_match(trace->request->config), &found, error_r);

    if (result <= 0)
        return result == 0;
    message->suppressed = true;
    snprintf(message->suppression.entry, sizeof message->suppression.entry, "%s", found.address);
    message->suppression.reason = suppression_reason_name(found.reason);
    message->suppression.since_ms = found.since_ms;
    AUTO_FREE char *text = xasprintf("%s (%s)", found.address, message->suppression.reason);
    trace_add(message->story, found.since_ms, "store", "suppressed", text);
    return true;
}

bool trace_read_store(struct trace *trace, struct outcome *error_r)
{
    for (size_t i = 0; i < trace->count; i++) {
        struct trace_message *message = &trace->messages[i];
        struct reading reading = {trace, message};
        const struct event_filter filter = {.message_id = message->uuid};
        if (message->uuid[0] != '\0' &&
            !event_store_each(trace->request->store, &filter, read_event, &reading, error_r))
            return false;
        if (!read_ladder(trace, message, error_r) || !read_suppression(trace, message, error_r))
            return false;
    }
    return true;
}
