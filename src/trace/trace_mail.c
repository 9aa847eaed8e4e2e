/* What Postfix's log and Postfix's queue know of messages. See trace_private.h. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xalloc.h"
#include "trace/trace_private.h"

#define IDS_MAX 50 /* queue ids that one look into the log is for */
#define ROUNDS 3   /* a content filter gives a message a new queue id */

/* --- queue ids ----------------------------------------------------------------------------------------- */

/* The latest ones, in the order in which they came. */
struct ids {
    char items[IDS_MAX][EVENT_QUEUE_ID_SIZE];
    size_t count;
};

static bool has_id(const struct ids *ids, const char *id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (strcmp(ids->items[i], id) == 0)
            return true;
    return false;
}

static void add_id(struct ids *ids, struct log_slice id)
{
    char text[EVENT_QUEUE_ID_SIZE];

    snprintf(text, sizeof text, "%.*s", (int)id.length, id.at != NULL ? id.at : "");
    if (*text == '\0' || id.length >= sizeof text || has_id(ids, text))
        return;
    if (ids->count == IDS_MAX) {
        memmove(ids->items[0], ids->items[1], (IDS_MAX - 1) * sizeof ids->items[0]);
        ids->count--;
    }
    memcpy(ids->items[ids->count++], text, sizeof text);
}

static void add_text_id(struct ids *ids, const char *id)
{
    add_id(ids, (struct log_slice){id, strlen(id)});
}

/* --- one line ------------------------------------------------------------------------------------------ */

struct reading {
    struct trace *trace;
    const struct ids *ids;
    struct ids *later; /* under which a message goes on */
};

static void copy(char *to, size_t size, struct log_slice slice)
{
    if (slice.at != NULL)
        utf8_clean(to, size, slice.at, slice.length);
}

static void note_birth(struct trace_letter *letter, const struct postfix_log_line *line, int64_t time_ms)
{
    AUTO_FREE char *text =
        line->client.length > 0
            ? xasprintf("from client %.*s%s%.*s", (int)line->client.length, line->client.at,
                        line->sasl.length > 0 ? ", logged in as " : "", (int)line->sasl.length,
                        line->sasl.length > 0 ? line->sasl.at : "")
            : xasprintf("from a program of this host%s%.*s", line->from.length > 0 ? ", sender " : "",
                        (int)line->from.length, line->from.length > 0 ? line->from.at : "");

    if (letter->removed_ms !=
        0) { /* Postfix uses short queue ids again: what was before is another message */
        json_object_put(letter->story);
        letter->story = json_object_new_array();
        letter->removed_ms = 0;
        letter->gave_up = false;
        letter->header_id[0] = '\0';
    }
    letter->arrival_ms = time_ms;
    trace_add(letter->story, time_ms, "log", "arrived", text);
}

static void note_header_id(struct trace_letter *letter, const char *words)
{
    const char *id = strstr(words, "message-id=");

    if (id != NULL)
        snprintf(letter->header_id, sizeof letter->header_id, "%s", id + strlen("message-id="));
}

/* A delivery. Our own line, and what Postfix says of our transport, repeat what the store has: "echo" says so
 * to trace.c. */
static void note_delivery(struct reading *reading, const struct postfix_log_line *line, int64_t time_ms)
{
    static const char *const words[] = {[POSTFIX_STATUS_OTHER] = "attempt",
                                        [POSTFIX_STATUS_SENT] = "sent",
                                        [POSTFIX_STATUS_BOUNCED] = "bounced",
                                        [POSTFIX_STATUS_DEFERRED] = "deferred"};
    bool own = line->kind == POSTFIX_LOG_OWN;
    char recipient[ADDRESS_SIZE] = "", uuid[UUID_SIZE] = "", queue_id[EVENT_QUEUE_ID_SIZE] = "";
    char reason[OUTCOME_TEXT_SIZE] = "";

    copy(recipient, sizeof recipient, line->to);
    copy(queue_id, sizeof queue_id, line->queue_id);
    copy(uuid, sizeof uuid, line->uuid);
    copy(reason, sizeof reason, line->reason);
    if (!trace_wants(reading->trace, recipient))
        return;
    struct trace_message *message = trace_message_for(reading->trace, uuid, queue_id, recipient);
    if (message == NULL)
        return;
    AUTO_FREE char *text =
        own ? xasprintf("%s", reason)
            : xasprintf("%.*s, relay=%.*s: %s", (int)line->program.length, line->program.at,
                        (int)line->relay.length, line->relay.length > 0 ? line->relay.at : "", reason);
    const char *what = own && line->status == POSTFIX_STATUS_BOUNCED ? "dropped" : words[line->status];
    struct json_object *entry = trace_add(message->story, time_ms, "log", what, text);
    bool transport = line->program.length == 4 && memcmp(line->program.at, "pipe", 4) == 0;
    if (own || transport)
        json_object_object_add(entry, "echo", json_object_new_boolean(!own));
    if (time_ms > message->last_ms)
        message->last_ms = time_ms;
    if (line->status == POSTFIX_STATUS_SENT && !own)
        add_id(reading->later, postfix_log_queued_as(line));
}

static bool note_line(void *context, const struct postfix_log_line *line, int64_t time_ms)
{
    struct reading *reading = context;
    char queue_id[EVENT_QUEUE_ID_SIZE] = "";

    if (line->queue_id.length >= sizeof queue_id)
        return true;
    copy(queue_id, sizeof queue_id, line->queue_id);
    if (!has_id(reading->ids, queue_id))
        return true;
    struct trace_letter *letter = trace_letter_for(reading->trace, queue_id);
    AUTO_FREE char *words = xstrndup(line->words.at, line->words.length);
    switch (line->kind) {
    case POSTFIX_LOG_BORN:
        note_birth(letter, line, time_ms);
        break;
    case POSTFIX_LOG_CLEANUP:
        note_header_id(letter, words);
        break;
    case POSTFIX_LOG_ACTIVE:
        copy(letter->sender, sizeof letter->sender, line->from);
        if (letter->arrival_ms == 0)
            letter->arrival_ms = time_ms;
        break; /* it comes with each attempt */
    case POSTFIX_LOG_DELIVERY:
    case POSTFIX_LOG_OWN:
        note_delivery(reading, line, time_ms);
        break;
    case POSTFIX_LOG_EXPIRED:
        letter->gave_up = true;
        trace_add(letter->story, time_ms, "log", "expired", words);
        break;
    case POSTFIX_LOG_REMOVED:
        letter->removed_ms = time_ms;
        /* a stamp of whole seconds: what else that second has came before */
        json_object_object_add(trace_add(letter->story, time_ms, "log", "removed", "from Postfix's queue"),
                               "at_ms", json_object_new_int64(time_ms + (time_ms % 1000 == 0 ? 999 : 0)));
        break;
    case POSTFIX_LOG_OTHER:
        trace_add(letter->story, time_ms, "log", "note", words);
        break;
    default:
        break;
    }
    return true;
}

/* --- the log ------------------------------------------------------------------------------------------- */

static bool collect_id(void *context, const struct postfix_log_line *line, int64_t time_ms)
{
    (void)time_ms;
    add_id(context, line->queue_id);
    return true;
}

/* As it stands in the log, where other words may hold it, too. */
static char *as_logged(const char *what)
{
    unsigned kinds = trace_kinds(what);

    if ((kinds & TRACE_DOMAIN) != 0 && (kinds & (TRACE_UUID | TRACE_QUEUE_ID)) == 0)
        return xasprintf("@%s>", trace_domain(what));
    if ((kinds & TRACE_QUEUE_ID) != 0 && (kinds & TRACE_UUID) == 0)
        return xasprintf("%s:", what);
    return xstrdup(what);
}

static void read_log(struct trace *trace, struct ids *ids)
{
    const struct trace_log *log = trace->request->log;
    AUTO_FREE char *word = as_logged(trace->request->what);

    if (trace->count < trace->request->limit)
        trace_log_each(log, (const char *const[]){word}, 1, collect_id, ids);
    for (int round = 0; round < ROUNDS && ids->count > 0; round++) {
        AUTO_FREE struct ids *later = xcalloc(1, sizeof *later);
        struct reading reading = {trace, ids, later};
        char words[IDS_MAX][EVENT_QUEUE_ID_SIZE + 2];
        const char *pointers[IDS_MAX];
        for (size_t i = 0; i < ids->count; i++) {
            snprintf(words[i], sizeof words[i], "%s:", ids->items[i]);
            pointers[i] = words[i];
        }
        trace->complete = trace_log_each(log, pointers, ids->count, note_line, &reading) && trace->complete;
        struct ids fresh = {.count = 0};
        for (size_t i = 0; i < later->count; i++)
            if (!has_id(ids, later->items[i]))
                add_text_id(&fresh, later->items[i]);
        *ids = fresh;
    }
}

/* --- the queue ----------------------------------------------------------------------------------------- */

static const char *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static void note_recipient(struct trace *trace, struct json_object *letter, struct json_object *recipient)
{
    const char *address = member(recipient, "address"), *what = trace->request->what;
    unsigned kinds = trace_kinds(what);
    bool asked = (kinds & TRACE_QUEUE_ID) != 0 && strcmp(what, member(letter, "queue_id")) == 0;
    bool fits = asked || ((kinds & TRACE_ADDRESS) != 0 && strcasecmp(what, address) == 0) ||
                ((kinds & TRACE_DOMAIN) != 0 && trace_wants(trace, address));
    struct trace_message *message = NULL;

    for (size_t i = 0; i < trace->count && message == NULL; i++)
        if (strcmp(trace->messages[i].queue_id, member(letter, "queue_id")) == 0 &&
            strcasecmp(trace->messages[i].recipient, address) == 0)
            message = &trace->messages[i];
    if (message == NULL && fits)
        message = trace_message_for(trace, "", member(letter, "queue_id"), address);
    if (message == NULL)
        return;
    message->in_queue = true;
    snprintf(message->queue_name, sizeof message->queue_name, "%s", member(letter, "queue_name"));
    snprintf(message->reason, sizeof message->reason, "%s", member(recipient, "delay_reason"));
    if (message->sender[0] == '\0')
        snprintf(message->sender, sizeof message->sender, "%s", member(letter, "sender"));
    struct json_object *arrival = NULL;
    if (json_object_object_get_ex(letter, "arrival_time", &arrival))
        message->queued_ms = json_object_get_int64(arrival) * 1000;
    if (message->last_ms == 0)
        message->last_ms = message->queued_ms;
}

static void read_queue(struct trace *trace)
{
    const char *at = trace->request->queue;
    AUTO_FREE char *what = xstrdup(trace_domain(trace->request->what));

    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, "\n");
        bool concerned = memmem(at, length, what, strlen(what)) != NULL;
        for (size_t i = 0; i < trace->count && !concerned; i++)
            concerned =
                trace->messages[i].queue_id[0] != '\0' &&
                memmem(at, length, trace->messages[i].queue_id, strlen(trace->messages[i].queue_id)) != NULL;
        if (concerned) {
            AUTO_FREE char *line = xstrndup(at, length);
            struct json_object *letter = json_tokener_parse(line), *recipients = NULL;
            if (json_object_is_type(letter, json_type_object) &&
                json_object_object_get_ex(letter, "recipients", &recipients) &&
                json_object_is_type(recipients, json_type_array))
                for (size_t i = 0; i < json_object_array_length(recipients); i++)
                    note_recipient(trace, letter, json_object_array_get_idx(recipients, i));
            json_object_put(letter);
        }
        at += length + (at[length] == '\n');
    }
}

void trace_read_mail(struct trace *trace)
{
    AUTO_FREE struct ids *ids = xcalloc(1, sizeof *ids);

    read_queue(trace);
    for (size_t i = 0; i < trace->count; i++)
        add_text_id(ids, trace->messages[i].queue_id);
    if (trace->request->log != NULL)
        read_log(trace, ids);
    read_queue(trace); /* of what the log has found */
}
