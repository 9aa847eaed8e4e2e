/*
 * event_pause: what every process knows about an API that is down, so that not each delivery waits
 * report.timeout for it again. A part of event_report; nobody else includes it.
 *
 * A pause is one value in the store's meta table, for the endpoint as a whole or for one key of it. Until it
 * ends nobody asks: events stay pending, on disk, as after a failed request. When it has ended, one process
 * asks (the claim is a transaction) while the others go on waiting; an answer removes the pause for all,
 * another failure makes it longer: 1 s, doubled up to 1 min, or as long as Retry-After says. A claim ends by
 * itself, should its holder be killed. So an outage costs one process one timeout a minute, and recovery is
 * seen within a minute. The value says when it was written: one from the future is of a clock that has been
 * put back since, and holds nobody up. No event depends on it: it only says when to try.
 */
#ifndef SENDPOST_EVENT_EVENT_PAUSE_H
#define SENDPOST_EVENT_EVENT_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "event/event_answer.h"
#include "event/event_pace.h"
#include "net/http_answer.h"
#include "store/store.h"

struct event_pause {
    char *name;       /* key in meta */
    int64_t first_ms; /* length of the first pause */
    int64_t most_ms;  /* and of the longest */
    bool known;       /* there was one when it was last read */
    int64_t until_ms;
    int failures; /* in a row */
    char why[200];
};

bool event_pause_holds(const struct event_pause *pause, int64_t now_ms) __attribute__((nonnull));

/* What decides whether a request may be made now. Begins as {0}. */
struct event_pauses {
    struct event_pause endpoint, key;
    bool claimed; /* a pause has ended, and it is this process that asks */
};

/* Of the endpoint, by its fingerprint, and of this key (NULL: none), from the store; and the endpoint's pace
 * with them. */
void event_pauses_read(struct event_pauses *pauses, struct store *store, const char *fingerprint,
                       const char *key, int64_t now_ms, struct event_pace *pace_r)
    __attribute__((nonnull(1, 2, 3, 6)));

/* Whether the API may be asked now; who may after a pause, is the only one for lease_ms. False: why says it
 * in words. */
bool event_pauses_allow(struct event_pauses *pauses, struct store *store, int64_t now_ms, int64_t lease_ms,
                        char *why, size_t size) __attribute__((nonnull));

/* After an answer, inside a transaction. endpoint: for the log. */
bool event_pauses_update(struct event_pauses *pauses, struct store *store, enum event_answer kind,
                         const struct http_answer *answer, const char *endpoint, struct outcome *error_r)
    __attribute__((nonnull(1, 2, 5, 6)));

void event_pauses_free(struct event_pauses *pauses) __attribute__((nonnull));

#endif
