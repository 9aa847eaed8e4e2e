/*
 * slow_down: the limits that go down when the other side says so, or when too much is deferred or bounces,
 * and up again (slow_down_law.h), for each TPSP as a whole and for each of its mailbox providers. All
 * processes share them.
 *
 * A limit that is slowed down stands beside those of the configuration, which stay as they are: what passes
 * passes all. So nothing here can let through more than the configuration does.
 *
 * What is in the table (rate_table.h), for TPSP and scope, "all" or the mailbox provider:
 *
 *   "slow-down SCOPE"    the state (enum slow_down_place): one word decides and changes by compare-and-swap;
 * a kill between two stores leaves a limit that is right and a text that may be old "answers SCOPE" attempts,
 * deferrals and bounces of the last window: may be lost at any time "heard SCOPE RULE"   when a rule was
 * heard of late, for rules that count: a time each "said SCOPE"         rule and words that caused it, for
 * people "suspicion"          recipient domains whose refusals may be of a correspondent's own making "holds"
 * recipients that are held
 *
 * Where the table fails, nothing is slowed down: the limits of the configuration hold as ever.
 */
#ifndef SENDPOST_POLICY_SLOW_DOWN_H
#define SENDPOST_POLICY_SLOW_DOWN_H

#include "classify/replies.h"
#include "config/config.h"
#include "policy/rate_limit.h"
#include "policy/slow_down_law.h"

#define SLOW_DOWN_SAID_SIZE 121
#define SLOW_DOWN_PAUSE_MAX_NS SLOW_DOWN_DAY_NS
#define SLOW_DOWN_DOMAINS 3 /* say so before a correspondent's word is taken for the TPSP's */

/* What is where in an entry "slow-down". From RATE_KEPT_TIMES on the words are times. */
enum slow_down_place {
    SLOW_DOWN_STATE,
    SLOW_DOWN_CONNECTIONS, /* so many at a time, until CONNECTIONS_UNTIL */
    SLOW_DOWN_BEGAN_MS,    /* clock_realtime_ms(), for people */
    SLOW_DOWN_BASE,        /* the rate that the first refusal found */
    SLOW_DOWN_LANE = RATE_KEPT_TIMES,
    SLOW_DOWN_PAUSED_UNTIL,
    SLOW_DOWN_CONNECTIONS_UNTIL,
};

/* Whom it is about. config and table outlive it. */
struct slow_down {
    const struct config *config;
    struct rate_table *table;
    const struct config_tpsp *tpsp;
    enum provider_category provider;
};

/*
 * Before a decision: to the limits of the set, as rate_set_init() made it, those are added that are slowed
 * down now, and those of an earlier call are taken away. False while the TPSP, or its provider, is paused:
 * *until_r is when it ends, *why_r the deferral (CAUSE_RATE).
 */
bool slow_down_apply(const struct config *config, struct rate_table *table, struct rate_set *set,
                     int64_t *until_r, struct outcome *why_r) __attribute__((nonnull));

/* The recipient is held: *until_r is when it ends (the table's clock). */
bool slow_down_holds(const struct slow_down *slow_down, const char *recipient, int64_t *until_r)
    __attribute__((nonnull));

enum slow_down_answer {
    SLOW_DOWN_ACCEPTED,
    SLOW_DOWN_ANSWERED, /* none of the others: the recipient's own mailbox or mail server spoke */
    SLOW_DOWN_DEFERRED,
    SLOW_DOWN_BOUNCED,
};

/*
 * An answer to a message. attempt: it is counted as one as well; not for what becomes of a message later, in
 * the log of an MTA or as a bounce. recipient: NULL where it is not known.
 */
void slow_down_note(const struct slow_down *slow_down, enum slow_down_answer answer, bool attempt,
                    const char *recipient) __attribute__((nonnull(1)));

/* A rule knows what was said. */
struct slow_down_heard {
    const struct reply_action *action;
    const char *recipient; /* "" when not known */
    const char *text;      /* what was said, for people */
    unsigned taken;        /* messages that the session took; 0: not known */
    /* whoever said it is the TPSP or the mailbox provider, and no correspondent */
    bool trusted;
    /* it is a bounce, which any recipient can write about his own mail: some of them have to say so */
    bool by_recipient;
};
/* Words of our own are passed over. */
void slow_down_hear(const struct slow_down *slow_down, const struct slow_down_heard *heard)
    __attribute__((nonnull));

/* What is deferred for a limit of ours may come back as a bounce, in our words. */
bool slow_down_is_our_own(const char *text) __attribute__((nonnull));

/* So many connections at a time as it said; 0: it said nothing, or it is over. */
unsigned slow_down_connections(const struct slow_down *slow_down) __attribute__((nonnull));

/* For people: one limit as it is now. */
struct slow_down_view {
    bool slowed, paused, connections_limited;
    struct config_rate rate; /* slowed */
    struct config_rate refused;
    double factor;    /* of the configured limit, or of the rate that the first refusal found */
    unsigned blocked; /* > 0: nothing goes, and it asks now and then */
    int64_t began_ms; /* clock_realtime_ms() */
    int64_t next_ns;  /* table's clock: the next step up, at the earliest */
    int64_t until_ns; /* paused */
    unsigned connections;
    char said[SLOW_DOWN_SAID_SIZE]; /* "rule: words" */
};

/* of_provider: that of the provider, else the TPSP's. False when nothing is slowed down, paused or limited.
 */
bool slow_down_look(const struct slow_down *slow_down, bool of_provider, struct slow_down_view *view_r)
    __attribute__((nonnull));

/* Forget it all: TPSP and providers. */
void slow_down_reset(struct rate_table *table, const char *tpsp) __attribute__((nonnull));

#endif
