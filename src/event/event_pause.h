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

/* Fill known, until_ms, failures and why from the store. */
void event_pause_read(struct event_pause *pause, struct store *store, int64_t now_ms)
    __attribute__((nonnull));

bool event_pause_holds(const struct event_pause *pause, int64_t now_ms) __attribute__((nonnull));

/* The pause has ended: be the one who asks, for at most lease_ms. False when another is, or with the store in
 * trouble. */
bool event_pause_claim(struct event_pause *pause, struct store *store, int64_t now_ms, int64_t lease_ms)
    __attribute__((nonnull));

/*
 * Begin or lengthen, inside a transaction. claimed: this process asked when nobody else might. wish_ms:
 * Retry-After, 0 for none. *begun_r: whether this made a difference, and so is worth a line in the log.
 */
bool event_pause_extend(struct event_pause *pause, struct store *store, int64_t now_ms, bool claimed,
                        int64_t wish_ms, const char *why, bool *begun_r, struct outcome *error_r)
    __attribute__((nonnull));

bool event_pause_end(struct event_pause *pause, struct store *store, struct outcome *error_r)
    __attribute__((nonnull));

#endif
