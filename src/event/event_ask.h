/*
 * event_ask: one question to the event API, and what its answer means. A part of event_report; nobody else
 * includes it.
 */
#ifndef SENDPOST_EVENT_EVENT_ASK_H
#define SENDPOST_EVENT_EVENT_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "event/event.h"
#include "event/event_answer.h"
#include "event/event_clock.h"
#include "event/event_report.h"
#include "net/http_client.h"
#include "store/store.h"

struct event_asker {
    const struct config *config;
    struct store *store;
    struct event_reporter_options options;
    struct http_client *client; /* opened when first needed */
    bool takes_gzip;            /* said the endpoint in its last answer */
    char fingerprint[9];        /* of the endpoint, for keys of the meta table */
    const struct http_answer *answer;
    enum event_clock clock;               /* what we know of it */
    int64_t elapsed_ms;                   /* that it took */
    char last_error[HTTP_TEXT_SIZE + 64]; /* "" after an accepted request */
};

/* The key for events of this TPSP; NULL when there is none at all. */
const char *event_ask_key(const struct event_asker *asker, const char *tpsp) __attribute__((nonnull));

/* The connection to the API, as it will be needed. */
struct http_client *event_ask_client(struct event_asker *asker) __attribute__((nonnull, returns_nonnull));

/* Put the word for a dropped or a relayed message into the event: see report.dropped-as. */
void event_ask_choose_word(const struct event_asker *asker, struct event *event) __attribute__((nonnull));

/* Fills answer and last_error. Takes at most report.timeout, and ends by deadline_ms
 * (clock_monotonic_ms()). No events: the one request that changes nothing anywhere. */
enum event_answer event_ask(struct event_asker *asker, const struct event *events, int count, const char *key,
                            int64_t deadline_ms) __attribute__((nonnull(1)));

/* Whether events of this kind are to be sent: see report.deferred. */
bool event_ask_wants(const struct event_asker *asker, enum event_cs cs) __attribute__((nonnull));

/* One event alone, where it has two words with the other one, too. The event is left with the word that
 * decided; *learnt_r: something is to be remembered of it. */
enum event_answer event_ask_alone(struct event_asker *asker, struct event *event, const char *key,
                                  int64_t deadline_ms, bool *learnt_r) __attribute__((nonnull(1, 2, 5)));

/* Remember the word of this event for those to come, inside a transaction. */
bool event_ask_remember_word(struct event_asker *asker, const struct event *event, struct outcome *error_r)
    __attribute__((nonnull));

#endif
