#include "trace/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "trace/trace_private.h"

#define WHAT_MAX 900
#define ECHO_MS 5000 /* within which log and store speak of the same */

/* --- what is asked for ---------------------------------------------------------------------------- */

unsigned trace_kinds(const char *what)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t length = strlen(what);
    const char *at = strchr(what, '@');
    unsigned kinds = 0;

    if (*what == '<')
        return TRACE_HEADER_ID;
    if (at == what)
        return TRACE_DOMAIN;
    if (at != NULL)
        return TRACE_ADDRESS | TRACE_HEADER_ID;
    if (length >= EVENT_WORD_UUID_MIN && length < UUID_SIZE &&
        strspn(what, "0123456789abcdefABCDEF-") == length)
        kinds |= TRACE_UUID;
    if (length >= 5 && length < EVENT_QUEUE_ID_SIZE && strspn(what, letters) == length)
        kinds |= TRACE_QUEUE_ID;
    if (strchr(what, '.') != NULL)
        kinds |= TRACE_DOMAIN;
    return kinds;
}

bool trace_understands(const char *what, const char **why_r)
{
    size_t length = strlen(what);

    *why_r =
        length == 0 || length > WHAT_MAX ? "it is empty, or too long"
        : trace_kinds(what) == 0
            ? "it is no queue id, message UUID (8 characters of it at least), Message-ID, address or domain"
            : NULL;
    for (const char *at = what; *why_r == NULL && *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 127)
            *why_r = "there is a blank or a control character in it";
    return *why_r == NULL;
}

const char *trace_domain(const char *what)
{
    return what + (*what == '@');
}

bool trace_wants(const struct trace *trace, const char *recipient)
{
    const char *what = trace->request->what, *at = strrchr(recipient, '@');
    unsigned kinds = trace_kinds(what);

    if ((kinds & TRACE_DOMAIN) != 0 && (kinds & (TRACE_UUID | TRACE_QUEUE_ID)) == 0)
        return at != NULL && strcasecmp(at + 1, trace_domain(what)) == 0;
    return true;
}

/* --- messages --------------------------------------------------------------------------------------- */

static bool is_same(const struct trace_message *message, const char *uuid, const char *queue_id,
                    const char *recipient)
{
    if (strcasecmp(message->recipient, recipient) != 0)
        return false;
    if (*uuid != '\0' && message->uuid[0] != '\0')
        return strcasecmp(message->uuid, uuid) == 0 && (*queue_id == '\0' || message->queue_id[0] == '\0' ||
                                                        strcmp(message->queue_id, queue_id) == 0);
    return *queue_id != '\0' && strcmp(message->queue_id, queue_id) == 0;
}

struct trace_message *trace_message_for(struct trace *trace, const char *uuid, const char *queue_id,
                                        const char *recipient)
{
    struct trace_message *message = NULL;

    for (size_t i = 0; i < trace->count && message == NULL; i++)
        if (is_same(&trace->messages[i], uuid, queue_id, recipient))
            message = &trace->messages[i];
    if (message == NULL && trace->count == trace->request->limit)
        return NULL;
    if (message == NULL) {
        trace->messages = xrealloc(trace->messages, (trace->count + 1) * sizeof *trace->messages);
        message = &trace->messages[trace->count++];
        memset(message, 0, sizeof *message);
        message->story = json_object_new_array();
        utf8_clean(message->recipient, sizeof message->recipient, recipient, strlen(recipient));
    }
    if (message->uuid[0] == '\0')
        snprintf(message->uuid, sizeof message->uuid, "%s", uuid);
    if (message->queue_id[0] == '\0')
        snprintf(message->queue_id, sizeof message->queue_id, "%s", queue_id);
    return message;
}

struct trace_letter *trace_letter_for(struct trace *trace, const char *queue_id)
{
    for (size_t i = 0; i < trace->letter_count; i++)
        if (strcmp(trace->letters[i].queue_id, queue_id) == 0)
            return &trace->letters[i];
    trace->letters = xrealloc(trace->letters, (trace->letter_count + 1) * sizeof *trace->letters);
    struct trace_letter *letter = &trace->letters[trace->letter_count++];
    *letter = (struct trace_letter){.story = json_object_new_array()};
    snprintf(letter->queue_id, sizeof letter->queue_id, "%s", queue_id);
    return letter;
}

struct json_object *trace_add(struct json_object *story, int64_t at_ms, const char *source, const char *what,
                              const char *text)
{
    struct json_object *entry = json_object_new_object();
    size_t size = 4 * strlen(text) + 1;
    AUTO_FREE char *clean = xmalloc(size);
    char at[CLOCK_RFC3339_SIZE];

    utf8_clean(clean, size, text, strlen(text));
    json_object_object_add(entry, "at_ms", json_object_new_int64(at_ms));
    json_object_object_add(entry, "at", json_object_new_string(clock_rfc3339(at_ms, at)));
    json_object_object_add(entry, "source", json_object_new_string(source));
    json_object_object_add(entry, "what", json_object_new_string(what));
    json_object_object_add(entry, "text", json_object_new_string(clean));
    json_object_array_add(story, entry);
    return entry;
}

/* --- the story ---------------------------------------------------------------------------------------- */

static const char *text_of(struct json_object *entry, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(entry, key, &value);
    return value != NULL ? json_object_get_string(value) : "";
}

static bool says_the_same(struct json_object *one, struct json_object *other)
{
    return strcmp(text_of(one, "what"), text_of(other, "what")) == 0 &&
           strcmp(text_of(one, "text"), text_of(other, "text")) == 0 && *text_of(one, "event_id") == '\0';
}

static int64_t time_of(struct json_object *entry)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(entry, "at_ms", &value);
    return json_object_get_int64(value);
}

static bool is_close(struct json_object *one, struct json_object *other)
{
    int64_t a = time_of(one), b = time_of(other);

    return a - b < ECHO_MS && b - a < ECHO_MS;
}

/* Whether the store, or our own line where the store has nothing, tells the same. */
static bool is_echo(struct json_object *story, struct json_object *entry)
{
    struct json_object *of_transport = NULL, *own = NULL;

    if (!json_object_object_get_ex(entry, "echo", &of_transport))
        return false;
    for (size_t i = 0; i < json_object_array_length(story); i++) {
        struct json_object *other = json_object_array_get_idx(story, i);
        bool event = *text_of(other, "event_id") != '\0' || strcmp(text_of(other, "what"), "held") == 0;
        bool own_line = json_object_object_get_ex(other, "echo", &own) && !json_object_get_boolean(own);
        if (other != entry && (event || (own_line && json_object_get_boolean(of_transport))) &&
            is_close(other, entry))
            return true;
    }
    return false;
}

static int by_time(const void *one, const void *other)
{
    int64_t a = time_of(*(struct json_object *const *)one), b = time_of(*(struct json_object *const *)other);

    return (a > b) - (a < b);
}

/* What was said several times on end is told once, with how often and until when. */
static struct json_object *in_order(struct json_object *story)
{
    struct json_object *told = json_object_new_array(), *last = NULL;
    int64_t times = 1;

    json_object_array_sort(story, by_time);
    for (size_t i = 0; i < json_object_array_length(story); i++) {
        struct json_object *entry = json_object_array_get_idx(story, i);
        if (is_echo(story, entry))
            continue;
        if (last != NULL && says_the_same(last, entry)) {
            json_object_object_add(last, "times", json_object_new_int64(++times));
            json_object_object_add(last, "until", json_object_new_string(text_of(entry, "at")));
            continue;
        }
        json_object_array_add(told, json_object_get(entry));
        last = entry;
        times = 1;
    }
    for (size_t i = 0; i < json_object_array_length(told); i++) {
        json_object_object_del(json_object_array_get_idx(told, i), "echo");
        json_object_object_del(json_object_array_get_idx(told, i), "at_ms");
    }
    return told;
}

static struct json_object *or_null(const char *text)
{
    return *text != '\0' ? json_object_new_string(text) : NULL;
}

static struct json_object *tell(struct trace *trace, struct trace_message *message)
{
    struct json_object *object = json_object_new_object();
    struct trace_letter none = {.story = NULL};
    struct trace_letter *letter =
        message->queue_id[0] != '\0' ? trace_letter_for(trace, message->queue_id) : &none;

    for (size_t i = 0; letter->story != NULL && i < json_object_array_length(letter->story); i++)
        json_object_array_add(message->story, json_object_get(json_object_array_get_idx(letter->story, i)));
    if (message->queued_ms != 0 && letter->arrival_ms == 0)
        trace_add(message->story, message->queued_ms, "queue", "arrived", "in Postfix's queue");
    const char *sender = message->sender[0] != '\0' ? message->sender : letter->sender;
    const char *header_id =
        message->mail.message_id[0] != '\0' ? message->mail.message_id : letter->header_id;
    json_object_object_add(object, "message_id", or_null(message->uuid));
    json_object_object_add(object, "queue_id", or_null(message->queue_id));
    json_object_object_add(object, "header_message_id", or_null(header_id));
    json_object_object_add(object, "subject", or_null(message->mail.subject));
    json_object_object_add(object, "sender", or_null(sender));
    json_object_object_add(object, "recipient", json_object_new_string(message->recipient));
    trace_add_next(trace, message, letter, object);
    json_object_object_add(object, "story", in_order(message->story));
    return object;
}

static int latest_first(const void *one, const void *other)
{
    const struct trace_message *a = one, *b = other;

    return (a->last_ms < b->last_ms) - (a->last_ms > b->last_ms);
}

static struct json_object *source(bool read, const char *why)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "read", json_object_new_boolean(read));
    json_object_object_add(object, "why", read || why == NULL ? NULL : json_object_new_string(why));
    return object;
}

static struct json_object *tell_all(struct trace *trace)
{
    const struct trace_request *request = trace->request;
    struct json_object *object = json_object_new_object(), *messages = json_object_new_array();

    if (trace->count > 1)
        qsort(trace->messages, trace->count, sizeof *trace->messages, latest_first);
    for (size_t i = 0; i < trace->count; i++)
        json_object_array_add(messages, tell(trace, &trace->messages[i]));
    json_object_object_add(object, "what", json_object_new_string(request->what));
    json_object_object_add(object, "complete", json_object_new_boolean(trace->complete));
    json_object_object_add(object, "log", source(request->log != NULL, request->why_no_log));
    json_object_object_add(object, "queue", source(request->queue != NULL, request->why_no_queue));
    json_object_object_add(object, "messages", messages);
    return object;
}

static void clear(struct trace *trace)
{
    for (size_t i = 0; i < trace->count; i++)
        json_object_put(trace->messages[i].story);
    for (size_t i = 0; i < trace->letter_count; i++)
        json_object_put(trace->letters[i].story);
    free(trace->messages);
    free(trace->letters);
}

struct json_object *trace_story(const struct trace_request *request, struct outcome *error_r)
{
    struct trace trace = {.request = request, .complete = true};
    struct json_object *object = NULL;

    if (trace_find_in_store(&trace, error_r)) {
        trace_read_mail(&trace);
        if (trace_read_store(&trace, error_r))
            object = tell_all(&trace);
    }
    clear(&trace);
    return object;
}
