#include "event/event.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/xalloc.h"

static const struct {
    enum event_cs cs;
    const char *name;
    const char *type;
    const char *other; /* for an endpoint that refuses the usual word; NULL: none */
} kinds[] = {
    {CS_SENT, "CSSent", "sent", "delivered"},
    {CS_DELIVERED, "CSDelivered", "delivered", NULL},
    {CS_DEFERRED, "CSDeferred", "deferred", NULL},
    {CS_DROPPED, "CSDropped", "dropped", "bounced"},
    {CS_HARD_BOUNCED, "CSHardBounced", "bounced", NULL},
    {CS_SOFT_BOUNCED, "CSSoftBounced", "soft_bounced", NULL},
};

const char *event_cs_name(enum event_cs cs)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].cs == cs)
            return kinds[i].name;
    return NULL;
}

const char *event_type(const struct event *event)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].cs == event->cs)
            return event->other_word && kinds[i].other != NULL ? kinds[i].other : kinds[i].type;
    return "unknown";
}

const char *event_source_name(enum event_source source)
{
    static const char *const names[] = {"pipe", "agent", "bounce"};

    return (size_t)source < sizeof names / sizeof *names ? names[source] : "unknown";
}

void event_identify(struct event *event, const char *occurrence)
{
    char recipient[ADDRESS_SIZE];
    const char *name = event_cs_name(event->cs);

    /* one mailbox in two spellings of its domain is one happening: logs lower-case what an envelope does
     * not */
    memcpy(recipient, event->recipient, sizeof recipient);
    char *domain = strrchr(recipient, '@');
    for (char *at = domain ? domain : recipient + strlen(recipient); *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    /* applications may give two messages one UUID; a bounce knows of no queue id but by looking for it */
    const char *queue_id = event->source == EVENT_SOURCE_BOUNCE ? "" : event->queue_id;
    uuid_derived(
        event->event_id,
        (const char *[]){"event", event->message_id, recipient, name ? name : "", queue_id, occurrence}, 6);
}

void event_describe(struct event *event, const char *text, size_t length)
{
    utf8_clean(event->smtp_description, sizeof event->smtp_description, text, length);
}

/* --- JSON ----------------------------------------------------------------------------------------- */

/*
 * Written by hand, because that is most of what it costs to report an event once it is stored: a tree of
 * objects of json-c's, written out and freed, takes six times as long.
 */

void event_text_add(struct event_text *text, const char *bytes, size_t length)
{
    if (text->room - text->length < length) {
        text->room = 2 * (text->room + length) + 1024;
        text->bytes = xrealloc(text->bytes, text->room);
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static void add(struct event_text *text, const char *string)
{
    event_text_add(text, string, strlen(string));
}

/* The key comes with its quotes and its colon. */
static void add_key(struct event_text *text, const char *key)
{
    if (text->bytes[text->length - 1] != '{')
        add(text, ",");
    add(text, key);
}

static void add_string(struct event_text *text, const char *key, const char *value)
{
    char clean[ADDRESS_SIZE > EVENT_DESCRIPTION_SIZE ? ADDRESS_SIZE : EVENT_DESCRIPTION_SIZE];

    if (*value == '\0')
        return;
    /* addresses may come from a log line that strangers can influence; JSON must be UTF-8 (RFC 8259
       section 8.1). No control character is left, so two characters alone need a backslash (section 7) */
    size_t length = utf8_clean(clean, sizeof clean, value, strlen(value)), from = 0;
    add_key(text, key);
    add(text, "\"");
    for (size_t at = 0; at < length; at++)
        if (clean[at] == '"' || clean[at] == '\\') {
            event_text_add(text, clean + from, at - from);
            add(text, "\\");
            from = at;
        }
    event_text_add(text, clean + from, length - from);
    add(text, "\"");
}

static void add_number(struct event_text *text, const char *key, int64_t value)
{
    char digits[24];

    if (value == 0)
        return;
    add_key(text, key);
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    add(text, digits);
}

void event_add_json(struct event_text *text, const struct event *event, const char *state)
{
    const char *cs_name = event_cs_name(event->cs);
    char timestamp[CLOCK_RFC3339_SIZE];

    add(text, "{");
    add_string(text, "\"message_id\":", event->message_id);
    add_string(text, "\"event_type\":", event_type(event));
    add_string(text, "\"event_id\":", event->event_id);
    add_string(text, "\"cs_event\":", cs_name ? cs_name : "unknown");
    add_number(text, "\"cs_event_id\":", event->cs);
    add_string(text, "\"timestamp\":", clock_rfc3339(event->timestamp_ms, timestamp));
    add_string(text, "\"source\":", event_source_name(event->source));
    add_string(text, "\"recipient\":", event->recipient);
    add_string(text, "\"sender\":", event->sender);
    add_string(text, "\"queue_id\":", event->queue_id);
    add_number(text, "\"smtp_code\":", event->smtp_code);
    add_string(text, "\"smtp_enhanced_code\":", event->smtp_enhanced_code);
    add_string(text, "\"smtp_description\":", event->smtp_description);
    add_string(text, "\"tpsp\":", event->tpsp);
    add_number(text, "\"tpsp_id\":", event->tpsp_id);
    add_string(text, "\"provider\":", event->provider);
    add_number(text, "\"attempt\":", event->attempt);
    if (state != NULL)
        add_string(text, "\"state\":", state);
    add(text, "}");
}

struct json_object *event_to_json(const struct event *event, const char *state)
{
    struct event_text text = {0};

    event_add_json(&text, event, state);
    event_text_add(&text, "", 1); /* with its NUL */
    struct json_object *object = json_tokener_parse(text.bytes);
    if (object == NULL)
        xalloc_fail(); /* what is written here can be read */
    free(text.bytes);
    return object;
}
