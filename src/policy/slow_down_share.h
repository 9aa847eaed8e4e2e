/*
 * slow_down_share: what is slowed down, paused or limited at a TPSP, as text for the other hosts of a cluster
 * (told.h), a line for each scope, and from their text back into the table of this host.
 *
 * The law (slow_down_law.h) turns a word and the time into the next word, the same on every host: so what is
 * told is the word after a refusal or an acceptance, and each host goes up from there by itself, at the same
 * times as the others. Nothing is recovered twice.
 *
 * Of two hosts that both have something new the lower limit counts, and the longer pause.
 */
#ifndef SENDPOST_POLICY_SLOW_DOWN_SHARE_H
#define SENDPOST_POLICY_SLOW_DOWN_SHARE_H

#include <stdio.h>

#include "policy/slow_down.h"

#define SLOW_DOWN_SCOPES (1 + PROVIDER_COUNT) /* of the TPSP, and of each provider */

/* The words of one scope; all zero: nothing is slowed down. */
struct slow_down_words {
    int64_t state, base, began_ms, paused_until, connections, connections_until;
};

/* All scopes of a TPSP at one moment. */
struct slow_down_picture {
    struct slow_down_words scopes[SLOW_DOWN_SCOPES];
};

void slow_down_picture(const struct slow_down *slow_down, struct slow_down_picture *picture_r)
    __attribute__((nonnull));

/* What differs whenever a word does; never 0. */
int64_t slow_down_picture_mark(const struct slow_down_picture *picture) __attribute__((nonnull));

/* ahead_us: the server's time less ours. */
void slow_down_write(const struct slow_down *slow_down, const struct slow_down_picture *picture,
                     int64_t ahead_us, FILE *out) __attribute__((nonnull));

/*
 * Make the table what text says. merge: where this host knows something else, the lower counts; else the
 * text. A word that somebody changes meanwhile stays as it becomes. Lines that are none of ours are passed
 * over; where one of ours cannot be read, nothing that text does not name becomes faster.
 */
void slow_down_read(const struct slow_down *slow_down, const struct slow_down_picture *before, bool merge,
                    int64_t ahead_us, const char *text) __attribute__((nonnull));

#endif
