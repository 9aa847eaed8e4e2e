/*
 * pool: which TPSP of a pool gets the message, and whether it may have it now. A cursor is the walk of one
 * delivery over the members of its pool:
 *
 *     pool_begin(&cursor, …);
 *     while (pool_next(&cursor, &tpsp, &outcome)) {
 *         … contact tpsp, which sets outcome …
 *         pool_report(&cursor, &outcome, contacted);
 *     }
 *     pool_end(&cursor);          (outcome is what became of the delivery)
 *
 * The first member is chosen by the strategy: the first one (failover), each in turn (round-robin), each as
 * often as its weight says (weighted), or by what the message is (route.h); the others follow it. Turns are
 * counted by all processes together; of as many turns as the weights add up to, each member has exactly its
 * weight, well mixed. If a member cannot be used, its turns go to the others in the proportion of theirs.
 *
 * A member is passed over while its breaker is open, and while one of its rate limits has no slot, or all
 * connections that it allows are in use (lease.h), or it is suspended, which both count as a rate. The next
 * one is tried only if the TPSP could not be reached or refused us (OUTCOME_DEFERRED, outcome_of_tpsp()):
 * never when the message may have been accepted (CAUSE_IN_DOUBT), nor when it was judged. When members were
 * passed over and no other could take the message, the overflow pool is tried; then, where it is a rate that
 * is in the way, the pools are waited for, up to rate-limit-wait.
 *
 * Every outcome here is a deferral: CAUSE_RATE (4.7.1), the one that ends first; where no rate is in the way
 * and all breakers are open, CAUSE_OURS (4.4.1), which says when the first is tried again. Neither is an
 * attempt, for nobody was asked.
 */
#ifndef SENDPOST_POLICY_POOL_H
#define SENDPOST_POLICY_POOL_H

#include "config/config.h"
#include "policy/admission.h"
#include "policy/breaker.h"
#include "policy/route.h"

/* The fields are this module's own. */
struct pool_cursor {
    const struct config *config;
    const struct config_pool *pool;
    struct admission_gate gate;
    struct rate_table *table; /* of the gate */
    struct route_facts facts;
    int64_t deadline_ns;
    int64_t wait_until_ns; /* 0: has not waited yet */

    bool *done;      /* by TPSP: has been asked */
    size_t **orders; /* by pool: its members in the order of this delivery; NULL: no turn taken yet */
    bool asked;      /* some TPSP was */
    bool final;      /* the last answer ends the walk */
    bool deferred;   /* some TPSP that was asked may take the message later */
    struct outcome deferral;

    const struct config_tpsp *tpsp; /* given out by pool_next(), not reported yet */
    enum breaker_state breaker;
    struct admission admission;

    struct pool_obstacles { /* why nobody could be given out in this round */
        bool over_rate;
        int64_t slot_ns; /* the first one */
        struct outcome rate;
        bool left_alone;
        int64_t retry_ns;
        struct outcome breaker;
    } obstacles;
};

/* deadline_ms: clock_monotonic_ms() by which pool_next() gives up: no time is left then to ask another one.
 * Everything is kept by pointer, the sender domain of the facts, too. */
void pool_begin(struct pool_cursor *cursor_r, const struct admission_gate *gate,
                const struct config_pool *pool, const struct route_facts *facts, int64_t deadline_ms)
    __attribute__((nonnull));

/*
 * The next TPSP to contact; its slots are taken. False at the end: *outcome is then set when nobody was
 * contacted, or one is only over its rate; otherwise it stays what the last one made it.
 */
bool pool_next(struct pool_cursor *cursor, const struct config_tpsp **tpsp_r, struct outcome *outcome)
    __attribute__((nonnull));

/* Where pool_next() ended because of a rate: when the first slot comes (the table's clock); else 0. */
int64_t pool_next_slot(const struct pool_cursor *cursor) __attribute__((nonnull));

/* How the outcome came about. */
struct pool_evidence {
    bool contacted;        /* a connection was made, so that a slot was used */
    bool before_recipient; /* a refusal was said before RCPT, in words that a rule knows */
    const char *recipient; /* else: whom the refusal answered; NULL: it was no reply */
    bool heeded;           /* it says that too much is sent, and slow_down does what is to be done about it */
};

/*
 * What became of the TPSP given out last. A refusal of the account, this host or the session leaves the TPSP
 * alone at once when it was said before anybody had heard of the recipient, else only after refusals for
 * recipients in three different domains: no correspondent stops the others' mail by what his server says.
 */
void pool_report(struct pool_cursor *cursor, const struct outcome *outcome, struct pool_evidence evidence)
    __attribute__((nonnull));

/* Of the TPSP reported last: its connection is better not kept, other hosts wait for one. */
bool pool_connection_is_wanted(const struct pool_cursor *cursor) __attribute__((nonnull));

/* In place of pool_report(), when the delivery was broken off for a reason that says nothing of the TPSP:
 * nobody else is asked. */
void pool_break_off(struct pool_cursor *cursor, bool contacted) __attribute__((nonnull));

void pool_end(struct pool_cursor *cursor) __attribute__((nonnull));

#endif
