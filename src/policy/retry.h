/*
 * retry: the ladder on top of Postfix's queue. The attempts at a message are counted per queue id and
 * recipient; after the first failure the next attempt is due after the first duration of retry.schedule,
 * after the second failure after the second, and a failure beyond the last one drops the message. Postfix,
 * which knows nothing of all this, comes when it likes; when it comes too early, it is told so and nobody is
 * contacted.
 *
 * What counts is a verdict of the TPSP on the message, and its silence: refused, timed out, connection lost,
 * no final reply. Trouble of ours, a refusal of the account, the host or the session, rate limits and our own
 * policy never do, however long they last: such a message is held (policy/standing.h), and its row says so.
 *
 * There is no ladder without a queue id (nothing tells a retry from a new message) and none with an empty
 * schedule: then Postfix's own maximal_queue_lifetime ends it. Postfix uses queue ids again: a record under
 * another message UUID is of another message and counts for nothing.
 *
 * Table deliveries: a row for each message and recipient that failed or was held at least once and is not
 * through.
 */
#ifndef SENDPOST_POLICY_RETRY_H
#define SENDPOST_POLICY_RETRY_H

#include "config/config.h"
#include "store/store.h"

struct retry_key {
    const char *queue_id; /* "" when there is none */
    const char *recipient;
    const char *uuid; /* of the message */
};

/* Whether this failure is an attempt. */
bool retry_counts(const struct outcome *outcome) __attribute__((nonnull));

/* What is known of the message before this attempt. */
struct retry_past {
    bool listed; /* there is a row */
    bool held;
    int64_t last_ms;
    int attempts; /* that failed and counted */
};

/*
 * Whether the message is due. past_r: what came before. False with *outcome_r set when it is not
 * (deferred, CAUSE_POLICY) or when the store cannot tell. now_ms: clock_realtime_ms().
 */
bool retry_due(struct store *store, const struct config *config, const struct retry_key *key, int64_t now_ms,
               struct retry_past *past_r, struct outcome *outcome_r) __attribute__((nonnull));

/*
 * Count an attempt that failed (retry_counts()), inside the caller's transaction or as one of its own. What
 * is next is told by *outcome: it stays as it is while there are attempts left, and becomes a drop (5.4.7,
 * CAUSE_POLICY) after the last. False with *error_r set when it cannot be recorded.
 */
bool retry_failed(struct store *store, const struct config *config, const struct retry_key *key,
                  const char *sender, const char *tpsp, int64_t now_ms, struct outcome *outcome,
                  struct outcome *error_r) __attribute__((nonnull));

/* It waits for trouble that is not its own (standing_holds()): its row says so, and counts nothing. Written
 * anew once an hour at most: past is what retry_due() said. */
bool retry_held(struct store *store, const struct retry_key *key, const struct retry_past *past,
                const char *sender, const char *tpsp, int64_t now_ms, const struct outcome *outcome,
                struct outcome *error_r) __attribute__((nonnull));

/* The message is through, one way or the other. Cheap when it never failed. */
bool retry_forget(struct store *store, const struct retry_key *key, struct outcome *error_r)
    __attribute__((nonnull));

/* For sendpostctl: make every recipient of the queue id due now. How many there were; -1 with *error_r
 * set. */
int retry_now(struct store *store, const char *queue_id, struct outcome *error_r) __attribute__((nonnull));

#endif
