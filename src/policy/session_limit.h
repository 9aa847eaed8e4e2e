/*
 * session_limit: how many messages a TPSP takes in one session, as it was learnt: after so many a kept
 * connection refused the next one and a new connection took it. All processes share it, so that nobody has to
 * ask twice for long. It lives in a rate_table for an hour, then one session may find it out anew; lost, it
 * is learnt again. It spares time and guards no promise.
 *
 * A limit of the session ends each one at the same number. What else ends one and has passed with the next (a
 * rate, a time without a message, a server that is busy) does not: so it takes two that end alike in an hour,
 * where the words do not say what it is.
 */
#ifndef SENDPOST_POLICY_SESSION_LIMIT_H
#define SENDPOST_POLICY_SESSION_LIMIT_H

#include "policy/rate_table.h"

#define SESSION_LIMIT_NS (3600 * INT64_C(1000000000))

/* Messages a session; 0: nothing is known. */
unsigned session_limit_get(struct rate_table *table, const char *tpsp) __attribute__((nonnull));

enum session_limit_sign {
    SESSION_LIMIT_SAID,  /* a rule knows the words: it is the session that is full */
    SESSION_LIMIT_ENDED, /* it may have been something else */
};

/* One session took so many and no more. The smallest of the hour counts. */
void session_limit_learn(struct rate_table *table, const char *tpsp, unsigned messages,
                         enum session_limit_sign sign) __attribute__((nonnull));

#endif
