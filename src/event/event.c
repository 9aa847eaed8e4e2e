#include "event/event.h"

#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"

static const struct {
    enum event_cs cs;
    const char *name;
    const char *type;
} kinds[] = {
    {CS_SENT, "CSSent", "sent"},
    {CS_DELIVERED, "CSDelivered", "delivered"},
    {CS_DEFERRED, "CSDeferred", "deferred"},
    {CS_DROPPED, "CSDropped", "dropped"},
    {CS_HARD_BOUNCED, "CSHardBounced", "bounced"},
    {CS_SOFT_BOUNCED, "CSSoftBounced", "soft_bounced"},
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
    if (event->cs == CS_DROPPED && event->dropped_as_bounced)
        return "bounced";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].cs == event->cs)
            return kinds[i].type;
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

    /* one mailbox in two spellings of its domain is one happening: logs lower-case what an envelope does not */
    memcpy(recipient, event->recipient, sizeof recipient);
    char *domain = strrchr(recipient, '@');
    for (char *at = domain ? domain : recipient + strlen(recipient); *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    uuid_derived(event->event_id,
                 (const char *[]){"event", event->message_id, recipient, name ? name : "", occurrence}, 5);
}

void event_describe(struct event *event, const char *text, size_t length)
{
    utf8_clean(event->smtp_description, sizeof event->smtp_description, text, length);
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
    char clean[ADDRESS_SIZE > EVENT_DESCRIPTION_SIZE ? ADDRESS_SIZE : EVENT_DESCRIPTION_SIZE];

    if (*value == '\0')
        return;
    /* addresses may come from a log line that strangers can influence; JSON must be UTF-8 (RFC 8259 section 8.1) */
    size_t length = utf8_clean(clean, sizeof clean, value, strlen(value));
    json_object_object_add(object, key, json_object_new_string_len(clean, (int)length));
}

static void add_number(struct json_object *object, const char *key, int64_t value)
{
    if (value != 0)
        json_object_object_add(object, key, json_object_new_int64(value));
}

struct json_object *event_to_json(const struct event *event, const char *state)
{
    struct json_object *object = json_object_new_object();
    const char *cs_name = event_cs_name(event->cs);
    char timestamp[CLOCK_RFC3339_SIZE];

    add_string(object, "message_id", event->message_id);
    add_string(object, "event_type", event_type(event));
    add_string(object, "event_id", event->event_id);
    add_string(object, "cs_event", cs_name ? cs_name : "unknown");
    add_number(object, "cs_event_id", event->cs);
    add_string(object, "timestamp", clock_rfc3339(event->timestamp_ms, timestamp));
    add_string(object, "source", event_source_name(event->source));
    add_string(object, "recipient", event->recipient);
    add_string(object, "sender", event->sender);
    add_string(object, "queue_id", event->queue_id);
    add_number(object, "smtp_code", event->smtp_code);
    add_string(object, "smtp_enhanced_code", event->smtp_enhanced_code);
    add_string(object, "smtp_description", event->smtp_description);
    add_string(object, "tpsp", event->tpsp);
    add_number(object, "tpsp_id", event->tpsp_id);
    add_string(object, "provider", event->provider);
    add_number(object, "attempt", event->attempt);
    if (state != NULL)
        add_string(object, "state", state);
    return object;
}
