/*
 * slow_down_law: how a limit goes down when the other side says "slower", and up again: one 64-bit word that
 * a pure function turns into the next one. slow_down.h keeps such words in the shared table, where they
 * change by compare-and-swap alone, so that a process that is killed leaves either the word before or the
 * word after; anything else that can swap a word can keep them as well.
 *
 * The word 0: nothing is slowed down. Else it holds the limit, the rate that was refused last, when either
 * changed, and what was seen since.
 *
 *   refused, far above what the other side took before    half of it (or the rule's own factor)
 *   refused, within a quarter of the rate refused last    15 % less
 *   again within SETTLE                                   nothing: that was sent before the step
 *   again, and nothing was accepted since the step        the limit stays, and one message at a time asks
 * whether anything goes, with pauses that double up to recovery recovery without a refusal up by a tenth of
 * the rate refused last; once it has been passed three times, by twice as much each time the whole, or four
 * times the refused rate, or a day   nothing is slowed down any more without a refusal
 *
 * A step up to where the last refusal was, and the next, wait for as long as 60 messages take, if that is
 * longer than recovery: so refusals stay below a few in a hundred however low the limit is. Beyond the
 * refused rate it goes only if something was accepted since the last step: what nobody tried proves nothing.
 *
 * Why a tenth of the refused rate and not of the limit: a deep fall is then made good in ten quiet times, and
 * the last step before the refusal is as small as the first.
 *
 * Rates are counted in messages in 256 days, so that one a day is still known to half a percent. Of a rate
 * the word has a mantissa of 8 bits: halves and doubles are exact, others are cut off by less than 0.4 %.
 */
#ifndef SENDPOST_POLICY_SLOW_DOWN_LAW_H
#define SENDPOST_POLICY_SLOW_DOWN_LAW_H

#include <stdbool.h>
#include <stdint.h>

#define SLOW_DOWN_RATE_DAYS 256
#define SLOW_DOWN_RATE_MAX (INT64_C(511) << 31)
#define SLOW_DOWN_COUNT_MAX 7 /* of what a word counts */
#define SLOW_DOWN_SETTLE_NS (20 * INT64_C(1000000000))
#define SLOW_DOWN_DAY_NS (86400 * INT64_C(1000000000))

/* What the law goes by; the same for one limit as long as the configuration is. */
struct slow_down_law {
    int64_t recovery_ns;
    int64_t floor; /* no refusal brings the limit below it */
    int64_t whole; /* the configured limit; 0: there is none */
};

/* A word in the clear. */
struct slow_down_state {
    int64_t rate;    /* the limit; 0: nothing is slowed down, and the rest means nothing */
    int64_t refused; /* the rate that was refused last */
    int64_t changed_ns;
    unsigned passed;  /* steps that went beyond the refused rate, at most SLOW_DOWN_COUNT_MAX */
    unsigned blocked; /* refusals in a row with nothing accepted between, at most that, too */
    bool accepted;    /* something was, since the last step */
};

/* rate messages in window_ns, as the law counts them; at least 1 in a day, at most SLOW_DOWN_RATE_MAX. */
int64_t slow_down_rate(double messages, int64_t window_ns);

/* The time between two messages at that rate. */
int64_t slow_down_pace(int64_t rate);

int64_t slow_down_pack(const struct slow_down_state *state) __attribute__((nonnull));

/* now_ns: a change later than now is damage: it becomes now. */
struct slow_down_state slow_down_unpack(int64_t word, int64_t now_ns);

/* The word on another clock: what was so long ago at seen_ns of the one is at now_ns of the other. */
int64_t slow_down_carry_over(int64_t word, int64_t seen_ns, int64_t now_ns);

/* The time between two messages that the state allows: also while it asks whether anything goes. */
int64_t slow_down_interval(const struct slow_down_law *law, const struct slow_down_state *state)
    __attribute__((nonnull));

enum slow_down_step {
    SLOW_DOWN_NOTHING,
    SLOW_DOWN_SLOWER,
    SLOW_DOWN_BLOCKED, /* nothing goes: it asks less often */
    SLOW_DOWN_FASTER,
    SLOW_DOWN_WHOLE, /* nothing is slowed down any more */
};

/*
 * The other side refused something for its rate. measured: the rate of the last window, 0: not known.
 * factor_ppm: what the rule makes of a limit far above; 0: half.
 */
enum slow_down_step slow_down_refused(const struct slow_down_law *law, struct slow_down_state *state,
                                      int64_t now_ns, int64_t measured, uint32_t factor_ppm)
    __attribute__((nonnull));

/* It accepted something. True when that changed anything. */
bool slow_down_accepted(struct slow_down_state *state) __attribute__((nonnull));

/* Time passed. SLOW_DOWN_NOTHING, SLOW_DOWN_FASTER or SLOW_DOWN_WHOLE. */
enum slow_down_step slow_down_tend(const struct slow_down_law *law, struct slow_down_state *state,
                                   int64_t now_ns) __attribute__((nonnull));

/* When the next step up is due, if nothing is refused and what is needed is accepted. */
int64_t slow_down_next_ns(const struct slow_down_law *law, const struct slow_down_state *state)
    __attribute__((nonnull));

#endif
