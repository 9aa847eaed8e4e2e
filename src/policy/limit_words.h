/*
 * limit_words: a limit in words that tell what it does to mail now: an idle limit lets some pass at once,
 * then the others are spread (rate_limit.h), so that "no slot now" is no sign that the limit is used up.
 *
 *     100/h: 7 used this hour, 3 more at once
 *     100/h: 16 used this hour, spread, next slot in 40 s
 *     3/h: 3 used this hour, reached, next slot in 52 min
 *
 * And the words by which mail that waits for a rate is known in Postfix's queue, where no more than they come
 * back: who defers it uses these.
 */
#ifndef SENDPOST_POLICY_LIMIT_WORDS_H
#define SENDPOST_POLICY_LIMIT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/rate_limit.h"

#define LIMIT_WORDS_LIMIT "rate limit of TPSP "
#define LIMIT_WORDS_PAUSED " is paused, as it asked for, for "
#define LIMIT_WORDS_CONNECTIONS ": all its connections are in use, "
#define LIMIT_WORDS_RECIPIENT "this recipient gets more mail than is taken for him"
#define LIMIT_WORDS_AWAY " is away, and with it the limits of TPSP "
#define LIMIT_WORDS_GATHERING " has a new server, which hears first what the hosts know"
#define LIMIT_WORDS_SUSPENDED " is suspended until "
#define LIMIT_WORDS_ALONE " is left alone after "

/* Whether what Postfix was told says that the message waits for what somebody has suspended, for a TPSP that
 * is left alone after failures, or for a rate. */
bool limit_words_suspend(const char *reason) __attribute__((nonnull));
bool limit_words_alone(const char *reason) __attribute__((nonnull));
bool limit_words_defer(const char *reason) __attribute__((nonnull));

/* "spread", or "reached" where the limit has no more slots than those that are taken. */
const char *limit_words_full(const struct rate_limit *limit) __attribute__((nonnull, returns_nonnull));

struct limit_now {
    const struct rate_limit *limit;
    unsigned available; /* at once */
    int64_t next_s;     /* until the next slot, where there is none; below 0: nobody can tell */
    int64_t used;       /* within the window that ends now; below 0: not known */
};

/* The caller frees. */
char *limit_words(const struct limit_now *now) __attribute__((nonnull, returns_nonnull));

#endif
