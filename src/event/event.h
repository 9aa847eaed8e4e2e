/*
 * event: what became of a message, as SendPost's event ingestion API takes it (doc/architecture.md has its
 * life).
 *
 * A plain value without pointers. Text fields are empty, numbers 0, where nothing is known; those keys are
 * left out of the JSON.
 */
#ifndef SENDPOST_EVENT_EVENT_H
#define SENDPOST_EVENT_EVENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/outcome.h"
#include "base/uuid.h"

/* cs_event_id of SendPost; the name is event_cs_name(). */
enum event_cs {
    CS_SENT = 59,
    CS_DELIVERED = 60,
    CS_DEFERRED = 61,
    CS_DROPPED = 62,
    CS_HARD_BOUNCED = 63,
    CS_SOFT_BOUNCED = 64,
};

enum event_source { EVENT_SOURCE_PIPE, EVENT_SOURCE_AGENT, EVENT_SOURCE_BOUNCE };

#define EVENT_DESCRIPTION_SIZE 1001 /* smtp_description: at most 1,000 bytes of valid UTF-8 */
#define EVENT_QUEUE_ID_SIZE 64
#define EVENT_NAME_SIZE 65 /* tpsp */

struct event {
    int64_t row; /* where the store has it (event/event_row.h); 0: not known */
    char event_id[UUID_SIZE];
    char message_id[UUID_SIZE]; /* the SendPost message UUID */
    enum event_cs cs;
    /* event_type is the word for an endpoint that refuses the usual one: "bounced" of CS_DROPPED, "delivered"
     * of CS_SENT */
    bool other_word;
    enum event_source source;
    int64_t timestamp_ms; /* when it happened, clock_realtime_ms() */
    char recipient[ADDRESS_SIZE];
    char sender[ADDRESS_SIZE];
    char queue_id[EVENT_QUEUE_ID_SIZE];
    int smtp_code;
    char smtp_enhanced_code[OUTCOME_ENHANCED_SIZE];
    char smtp_description[EVENT_DESCRIPTION_SIZE];
    char tpsp[EVENT_NAME_SIZE];
    int64_t tpsp_id;
    char provider[24];
    int attempt; /* from 1; 0 unknown */
};

/* "CSSent" … "CSSoftBounced"; NULL for a number that is none. */
const char *event_cs_name(enum event_cs cs);

/* The event_type word: delivered, sent, bounced, soft_bounced, deferred, dropped. */
const char *event_type(const struct event *event) __attribute__((nonnull, returns_nonnull));

/* "pipe", "agent", "bounce". */
const char *event_source_name(enum event_source source) __attribute__((returns_nonnull));

/*
 * Fill event_id from what happened: message UUID, queue id, recipient and kind of event, and for what can
 * happen repeatedly (deferred, sent, a notice of delay beside the failure behind it) also occurrence, a
 * string that tells one time from the next ("attempt 2 at 1732338092123", log position). Pass "" otherwise.
 * The same happening always gets the same id.
 */
void event_identify(struct event *event, const char *occurrence) __attribute__((nonnull));

/* Copy text into smtp_description: control characters become spaces, invalid UTF-8 becomes U+FFFD, cut at
 * 1,000 bytes between characters. */
void event_describe(struct event *event, const char *text, size_t length) __attribute__((nonnull));

/* Text that grows; begins as {0}, the caller frees bytes. Not terminated. */
struct event_text {
    char *bytes;
    size_t length, room;
};

void event_text_add(struct event_text *text, const char *bytes, size_t length) __attribute__((nonnull));

/* Append the JSON object of one event. state: "pending" and so on for sendpostctl --json, NULL for the
 * API. */
void event_add_json(struct event_text *text, const struct event *event, const char *state)
    __attribute__((nonnull(1, 2)));

/* The same as an object, which the caller owns. */
struct json_object *event_to_json(const struct event *event, const char *state) __attribute__((nonnull(1)));

#endif
