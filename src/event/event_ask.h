/*
 * event_ask: one question to the event API, and what its answer means. A part of event_report; nobody else
 * includes it.
 */
#ifndef SENDPOST_EVENT_EVENT_ASK_H
#define SENDPOST_EVENT_EVENT_ASK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config.h"
#include "event/event.h"
#include "event/event_client.h"
#include "store/store.h"

/* The answers of the contract. */
enum answer_kind {
    ANSWER_ACCEPTED,
    ANSWER_REFUSED,       /* 400, 413, 422: this request, as it is */
    ANSWER_KEY_REFUSED,   /* 401, 403 */
    ANSWER_BUSY,          /* 408, 429, 503, none at all: nobody's event is taken now */
    ANSWER_FAILING,       /* other 5xx: perhaps because of one event */
    ANSWER_MISCONFIGURED, /* 3xx and other 4xx: this is no event API */
    ANSWER_NOT_ASKED,     /* a pause, or no time left */
};

struct event_asker {
    const struct config *config;
    struct store *store;
    struct event_client *client; /* opened when first needed: its libraries cost start-up time */
    FILE *trace;
    char *(*compress)(const char *body, size_t length, size_t *packed_length_r); /* event_client_compress() */
    void (*observe)(void *context, int status,
                    int64_t elapsed_ms); /* event_reporter_observe(); NULL: nobody */
    void *observe_context;
    char fingerprint[9]; /* of the endpoint, for keys of the meta table */
    struct event_answer answer;
    char last_error[EVENT_ANSWER_TEXT_SIZE + 64]; /* "" after an accepted request */
};

/* The key for events of this TPSP; NULL when there is none at all. */
const char *event_ask_key(const struct event_asker *asker, const char *tpsp) __attribute__((nonnull));

/* Put the word for a dropped message into the event: see report.dropped-as. */
void event_ask_choose_word(const struct event_asker *asker, struct event *event) __attribute__((nonnull));

/* Fills answer and last_error. Takes at most report.timeout, and ends by deadline_ms
 * (clock_monotonic_ms()). */
enum answer_kind event_ask(struct event_asker *asker, const struct event *events, int count, const char *key,
                           int64_t deadline_ms) __attribute__((nonnull(1, 2)));

/* One event alone, under dropped-as auto with the other word, too. The event is left with the word that
 * decided; *learnt_r: it was the other one. */
enum answer_kind event_ask_alone(struct event_asker *asker, struct event *event, const char *key,
                                 int64_t deadline_ms, bool *learnt_r) __attribute__((nonnull(1, 2, 5)));

/* Remember the word of this event for those to come, inside a transaction. */
bool event_ask_remember_word(struct event_asker *asker, const struct event *event, struct outcome *error_r)
    __attribute__((nonnull));

#endif
