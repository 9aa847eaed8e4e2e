/*
 * rate_limit: how many messages a TPSP gets. Of each limit "at most LIMIT in any WINDOW" the promise is the
 * strict one:
 *
 *   No half-open interval of length WINDOW, wherever it begins, has more than LIMIT admissions in it: across
 * processes, kill -9 at any instant, restarts, reboots and steps of the wall clock.
 *
 * An idle limit does not save up a flood: BURST = min(rate-burst, LIMIT, RATE_BURST_MAX) messages may pass at
 * once, the others are spread evenly.
 *
 * How. A limit is BURST lanes, each a GCRA bucket (ITU-T I.371) without tolerance: one 64-bit word, the time
 * at which the lane is free again. A message takes a lane, by compare-and-swap, if now >= word, and sets word
 * = now + interval:
 *
 *   lane 0                the interval is PACE = ceil(WINDOW / (LIMIT - BURST + 1)): the spread
 *   lanes 1 … BURST-1     the interval is WINDOW: the burst
 *
 * Proof. The admission times of one lane are at least its interval apart, as the word remembers the last one
 * and only one process wins the swap. If n admissions of a lane lie in [s, s + WINDOW), the first and the
 * last are at least (n - 1) intervals and less than WINDOW apart. So a burst lane has at most 1. For lane 0,
 * (n - 1) * PACE < WINDOW <= (LIMIT - BURST + 1) * PACE, so n <= LIMIT - BURST + 1. The sum is LIMIT - BURST
 * + 1 + BURST - 1 = LIMIT. It is also reached: unlike a single bucket with tolerance, which would have to
 * give up BURST/LIMIT of the throughput to keep the promise, this lets LIMIT through in every window when
 * there is enough to send.
 *
 * - All or none: a set of limits is taken one by one, and what was taken is put back when one is refused.
 * Meanwhile others see fewer free lanes than there are, never more.
 * - Given back: the word returns to what it was if nobody has changed it since; it then speaks of the
 * admission before again, which is as if ours had never been. Where somebody has, the slot is lost, on the
 * safe side.
 * - kill -9: a word changes in one instruction. A process that dies with a slot has used it.
 * - Clock: CLOCK_BOOTTIME does not step; for reboots see rate_file.h. A word further ahead than now +
 * interval was written under another configuration, or is damaged: it becomes now + interval, from where the
 * proof goes on. So no content of the file can block a lane for longer than its interval.
 * - Changed configuration: a bucket is known by TPSP, kind ("global", "rate", or the mailbox provider) and
 * window, not by LIMIT: a new LIMIT works on what the lanes remember. In the one window in which it changes
 * at most the greater of both LIMITs passes, and the difference in BURST. Another window is another bucket,
 * and begins fresh.
 */
#ifndef SENDPOST_POLICY_RATE_LIMIT_H
#define SENDPOST_POLICY_RATE_LIMIT_H

#include "config/config.h"
#include "policy/rate_table.h"

#define RATE_SET_CONFIGURED 16 /* limits of one delivery: global, provider, and 14 of rates */
#define RATE_SET_SLOWED 2      /* ... what is slowed down: of the TPSP, and of the provider */
#define RATE_SET_WARM_UP 2     /* ... and what it is warmed up to, likewise */
#define RATE_SET_MAX (RATE_SET_CONFIGURED + RATE_SET_SLOWED + RATE_SET_WARM_UP)

struct rate_limit {
    struct rate_key key;
    struct config_rate rate;
    const char *kind;     /* "global", "rate", "slow-down", "warm-up", or the mailbox provider */
    const char *provider; /* its mailbox provider; NULL: for all */
    unsigned lanes;
    unsigned first_word; /* of its entry that is a lane */
    int64_t pace_ns;
    struct rate_entry *entry; /* found in that generation of the table; NULL: not yet */
    uint64_t generation;
};

/* All limits that hold for one delivery. */
struct rate_set {
    const char *tpsp;
    const struct config_tpsp *of;
    struct rate_limit limits[RATE_SET_MAX];
    size_t count;
    size_t configured; /* of them, the first; the others are those of slow_down and warm_up */
    struct rate_limit shadows[RATE_SET_CONFIGURED + RATE_SET_WARM_UP]; /* counted by shadow.h, not enforced */
    size_t shadow_count, shadow_configured;                            /* the others are warm_up's */
    struct rate_slowed {
        struct rate_key key;
        const char *provider; /* NULL: all */
        int64_t whole;        /* the configured limit, as slow_down_rate() counts; 0: none */
        struct rate_entry *entry;
        uint64_t generation;
    } slowed[RATE_SET_SLOWED];
    uint64_t quiet; /* rate_table_kept_stamp() at which neither was slowed down or paused */
};

/* False with *error_r set when there are too many. Of two with the same window the lower counts. tpsp is
 * kept. */
bool rate_set_init(struct rate_set *set_r, const struct config_tpsp *tpsp, enum provider_category provider,
                   uint32_t burst, struct outcome *error_r) __attribute__((nonnull));

/* A limit that is not of the set: key by name, kind for people. Kind and provider are kept. */
void rate_limit_make(struct rate_limit *limit_r, const char *tpsp, const char *name, const char *kind,
                     const char *provider, const struct config_rate *rate, uint32_t burst)
    __attribute__((nonnull(1, 2, 3, 4, 6)));

/* What is slowed down has one lane, and no window but its pace. */
static inline bool rate_limit_is_slowed(const struct rate_limit *limit)
{
    return limit->key.window_ns <= 0;
}

/* What its kind does not say alone: a warm-up is that of a provider, or of all. */
#define RATE_KIND_SIZE 40
char *rate_limit_kind(const struct rate_limit *limit, char buffer[RATE_KIND_SIZE]) __attribute__((nonnull));

/* Make of each limit its share, in millionths, counted in lanes of its own. False when nothing is left of
 * one. */
bool rate_set_share(struct rate_set *set, uint32_t share_ppm) __attribute__((nonnull));

/* What a delivery has taken. */
struct rate_grant {
    int64_t time_ns; /* of the admission */
    size_t count;
    uint64_t generation;
    struct {
        _Atomic int64_t *word;
        int64_t before, after;
    } taken[RATE_SET_MAX];
};

enum rate_answer {
    RATE_GRANTED,
    RATE_REFUSED, /* *limit_r of the set has the next slot at *next_r, and no other has one later */
    RATE_TROUBLE, /* *error_r says why (CAUSE_OURS) */
};

/* Take one slot of every limit of the set, or none. The admission is at the time of the table's clock. */
enum rate_answer rate_limit_take(struct rate_table *table, struct rate_set *set, struct rate_grant *grant_r,
                                 const struct rate_limit **limit_r, int64_t *next_r, struct outcome *error_r)
    __attribute__((nonnull));

/* The TPSP was never reached. Gives back once, then no more. */
void rate_limit_give_back(const struct rate_table *table, struct rate_grant *grant) __attribute__((nonnull));

/* "rate limit of TPSP primary: 100/h (provider gmail), spread, next slot in 34 s": deferred,
 * CAUSE_RATE, 4.7.1. See limit_words.h. */
void rate_limit_explain(const char *tpsp, const struct rate_limit *limit, int64_t wait_ns,
                        struct outcome *outcome_r) __attribute__((nonnull));

/* "100/h", "10/m", "5 in 90 s" */
#define RATE_TEXT_SIZE 48
char *rate_text(const struct config_rate *rate, char buffer[RATE_TEXT_SIZE]) __attribute__((nonnull));

/* How many messages would pass now, at most lanes, and when the next one would; changes nothing but words out
 * of range. */
unsigned rate_limit_peek(struct rate_table *table, struct rate_limit *limit, int64_t *next_r)
    __attribute__((nonnull));

/* Forget all admissions. */
void rate_limit_reset(struct rate_table *table, struct rate_limit *limit) __attribute__((nonnull));

#endif
