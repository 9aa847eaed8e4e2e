#include "agent/ledger_event.h"

#include <stdio.h>
#include <string.h>

#include "base/uuid.h"

static void copy(char *text_r, size_t size, struct log_slice slice)
{
    size_t length = slice.length < size ? slice.length : size - 1;

    if (length > 0)
        memcpy(text_r, slice.at, length);
    text_r[length] = '\0';
}

static enum event_cs bounce_kind(const struct track_note *note, const struct postfix_log_reply *reply,
                                 const struct classify_rules *rules)
{
    struct classify_result result;
    const struct log_slice reason = note->line->reason, relay = note->line->relay, to = note->line->to;
    char recipient[ADDRESS_SIZE];

    copy(recipient, sizeof recipient, to);
    /* "relay=mx.example.net[192.0.2.1]:25" */
    const char *host = relay.at != NULL ? relay.at : "",
               *end = relay.length > 0 ? memchr(relay.at, '[', relay.length) : NULL;
    classify_said(rules,
                  classify_speaker(rules, host, end != NULL ? (size_t)(end - host) : relay.length, recipient),
                  reply->code, reply->enhanced, reason.at != NULL ? reason.at : "", reason.length, &result);
    return result.hard ? CS_HARD_BOUNCED : CS_SOFT_BOUNCED;
}

static enum event_cs kind_of(const struct track_note *note, const struct postfix_log_reply *reply,
                             const struct classify_rules *rules)
{
    switch (note->verb) {
    case TRACK_DELIVERED:
        return CS_DELIVERED;
    case TRACK_DISCARDED:
        return CS_DROPPED;
    case TRACK_BOUNCED:
    case TRACK_OWN_KILLED:
        return bounce_kind(note, reply, rules);
    default:
        return CS_DEFERRED;
    }
}

void ledger_event_describe(struct event *event_r, const struct track_note *note,
                           const struct classify_rules *rules)
{
    struct postfix_log_reply reply;

    postfix_log_reply(note->line, &reply);
    event_r->row = 0;
    event_r->message_id[0] = event_r->event_id[0] = '\0';
    event_r->cs = kind_of(note, &reply, rules);
    event_r->other_word = false;
    event_r->source = EVENT_SOURCE_AGENT;
    event_r->timestamp_ms = note->time_ms;
    copy(event_r->recipient, sizeof event_r->recipient, note->line->to);
    copy(event_r->sender, sizeof event_r->sender, note->sender);
    copy(event_r->queue_id, sizeof event_r->queue_id, note->line->queue_id);
    event_r->smtp_code = reply.code;
    memcpy(event_r->smtp_enhanced_code, reply.enhanced, sizeof event_r->smtp_enhanced_code);
    event_describe(event_r, reply.text.at, reply.text.length);
    event_r->tpsp[0] = event_r->provider[0] = '\0';
    event_r->tpsp_id = 0;
    event_r->attempt = 0;
}

void ledger_event_identify(struct event *event, const unsigned char uuid[16])
{
    char occurrence[EVENT_QUEUE_ID_SIZE + 32] = "";

    uuid_text(event->message_id, uuid);
    if (event->cs == CS_DEFERRED)
        snprintf(occurrence, sizeof occurrence, "%s at %lld", event->queue_id,
                 (long long)event->timestamp_ms);
    event_identify(event, occurrence);
}
