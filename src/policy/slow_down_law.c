#include "policy/slow_down_law.h"

#define QUARTER_NS INT64_C(250000000) /* the word counts time in them: 17 years of uptime */
#define LEAST SLOW_DOWN_RATE_DAYS     /* one a day */
#define FIRST_PPM 500000
#define NEAR_PPM 850000
#define STEPS_BEFORE_LARGER 3
#define MESSAGES_BEFORE_REFUSAL 60

/* From the low end: accepted 1, blocked 3, passed 3, time 31, refused 13, rate 13. */
#define RATE_BITS 13
#define TIME_BITS 31
#define RATE_MASK ((UINT64_C(1) << RATE_BITS) - 1)
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define TIME_AT 7
#define REFUSED_AT (TIME_AT + TIME_BITS)
#define RATE_AT (REFUSED_AT + RATE_BITS)

/* --- rates ------------------------------------------------------------------------------------------- */

static int64_t within(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

int64_t slow_down_rate(double messages, int64_t window_ns)
{
    double rate = messages * (double)(SLOW_DOWN_RATE_DAYS * SLOW_DOWN_DAY_NS) / (double)window_ns;

    return rate >= (double)SLOW_DOWN_RATE_MAX ? SLOW_DOWN_RATE_MAX
                                              : within((int64_t)rate, LEAST, SLOW_DOWN_RATE_MAX);
}

int64_t slow_down_pace(int64_t rate)
{
    const int64_t span = SLOW_DOWN_RATE_DAYS * SLOW_DOWN_DAY_NS;

    return rate <= LEAST ? SLOW_DOWN_DAY_NS : span / rate + (span % rate != 0);
}

/* Five bits of exponent, eight of mantissa, plus one so that 0 is free for "none". */
static uint64_t rate_code(int64_t rate)
{
    unsigned exponent = 0;

    rate = within(rate, LEAST, SLOW_DOWN_RATE_MAX);
    while (rate >> exponent > 511)
        exponent++;
    uint64_t code = (uint64_t)exponent * 256 + (uint64_t)(rate >> exponent) - 256;
    return code < RATE_MASK ? code + 1 : RATE_MASK;
}

static int64_t code_rate(uint64_t code)
{
    return code == 0 ? 0 : (int64_t)((code - 1) % 256 + 256) << (code - 1) / 256;
}

/* --- the word ------------------------------------------------------------------------------------------ */

int64_t slow_down_pack(const struct slow_down_state *state)
{
    if (state->rate <= 0)
        return 0;
    /* rounded up: no quiet time is cut short */
    uint64_t time = (((uint64_t)state->changed_ns + QUARTER_NS - 1) / QUARTER_NS) & TIME_MASK;
    return (int64_t)(rate_code(state->rate) << RATE_AT | rate_code(state->refused) << REFUSED_AT |
                     time << TIME_AT | (uint64_t)state->passed << 4 | (uint64_t)state->blocked << 1 |
                     (uint64_t)state->accepted);
}

struct slow_down_state slow_down_unpack(int64_t word, int64_t now_ns)
{
    uint64_t bits = (uint64_t)word;
    struct slow_down_state state = {.rate = code_rate(bits >> RATE_AT & RATE_MASK),
                                    .refused = code_rate(bits >> REFUSED_AT & RATE_MASK),
                                    .changed_ns = (int64_t)(bits >> TIME_AT & TIME_MASK) * QUARTER_NS,
                                    .passed = bits >> 4 & SLOW_DOWN_COUNT_MAX,
                                    .blocked = bits >> 1 & SLOW_DOWN_COUNT_MAX,
                                    .accepted = bits & 1};

    if (state.refused == 0) /* damage */
        state.refused = state.rate;
    if (state.changed_ns > now_ns)
        state.changed_ns = now_ns;
    return state;
}

int64_t slow_down_carry_over(int64_t word, int64_t seen_ns, int64_t now_ns)
{
    struct slow_down_state state = slow_down_unpack(word, seen_ns);
    int64_t ago_ns = seen_ns - state.changed_ns;

    state.changed_ns = now_ns > ago_ns ? now_ns - ago_ns : 0;
    return slow_down_pack(&state);
}

/* --- down ---------------------------------------------------------------------------------------------- */

/* How long answers may still be to what was sent before the last step: some seconds, and three messages. */
static int64_t settle_ns(const struct slow_down_law *law, const struct slow_down_state *state)
{
    int64_t three = 3 * slow_down_pace(state->rate);
    int64_t settle = law->recovery_ns / 2 < SLOW_DOWN_SETTLE_NS ? law->recovery_ns / 2 : SLOW_DOWN_SETTLE_NS;

    return three > settle ? (three < law->recovery_ns ? three : law->recovery_ns) : settle;
}

int64_t slow_down_interval(const struct slow_down_law *law, const struct slow_down_state *state)
{
    int64_t pace = slow_down_pace(state->rate), ask = settle_ns(law, state) << state->blocked;

    if (state->blocked == 0)
        return pace;
    if (ask > law->recovery_ns)
        ask = law->recovery_ns;
    return ask > pace ? ask : pace;
}

static int64_t part(int64_t rate, uint32_t ppm)
{
    return (int64_t)((__int128)rate * ppm / 1000000);
}

static int64_t top(const struct slow_down_law *law)
{
    return law->whole > 0 ? law->whole : SLOW_DOWN_RATE_MAX;
}

static void slower(const struct slow_down_law *law, struct slow_down_state *state, int64_t now_ns,
                   int64_t from, uint32_t ppm)
{
    int64_t floor = law->floor < top(law) ? law->floor : top(law);

    state->refused = within(from, floor, top(law));
    state->rate = part(state->refused, ppm);
    if (state->rate < floor)
        state->rate = floor;
    state->changed_ns = now_ns;
    state->passed = state->blocked = 0;
    state->accepted = false;
}

enum slow_down_step slow_down_refused(const struct slow_down_law *law, struct slow_down_state *state,
                                      int64_t now_ns, int64_t measured, uint32_t factor_ppm)
{
    uint32_t far_ppm = factor_ppm > 0 ? factor_ppm : FIRST_PPM;

    if (state->rate == 0) {
        slower(law, state, now_ns, measured > 0 ? measured : top(law), far_ppm);
        return SLOW_DOWN_SLOWER;
    }
    if (now_ns - state->changed_ns < settle_ns(law, state))
        return SLOW_DOWN_NOTHING;
    if (!state->accepted) {
        state->blocked += state->blocked < SLOW_DOWN_COUNT_MAX;
        state->changed_ns = now_ns;
        state->passed = 0;
        return SLOW_DOWN_BLOCKED;
    }
    /* what was allowed was not used by far: the refusal says something of what was */
    int64_t from = measured > 0 && measured < state->rate / 2 ? measured : state->rate;
    bool near = from * 4 >= state->refused * 3 && from * 4 <= state->refused * 5;
    slower(law, state, now_ns, from, near ? NEAR_PPM : far_ppm);
    return SLOW_DOWN_SLOWER;
}

bool slow_down_accepted(struct slow_down_state *state)
{
    if (state->rate == 0 || (state->accepted && state->blocked == 0))
        return false;
    state->accepted = true;
    state->blocked = 0;
    return true;
}

/* --- up ------------------------------------------------------------------------------------------------ */

static int64_t step_up(const struct slow_down_state *state)
{
    int64_t step = state->refused / 10;

    if (state->passed > STEPS_BEFORE_LARGER - 1)
        step <<= state->passed - (STEPS_BEFORE_LARGER - 1);
    return step > 0 ? step : 1;
}

static int64_t quiet_ns(const struct slow_down_law *law, const struct slow_down_state *state)
{
    int64_t messages = MESSAGES_BEFORE_REFUSAL * slow_down_pace(state->rate);
    bool risky = (state->rate + step_up(state)) * 10 > state->refused * 9 && state->passed < 2;

    if (!risky || messages <= law->recovery_ns)
        return law->recovery_ns;
    return messages < 3 * law->recovery_ns ? messages : 3 * law->recovery_ns;
}

static enum slow_down_step end(struct slow_down_state *state)
{
    *state = (struct slow_down_state){.rate = 0};
    return SLOW_DOWN_WHOLE;
}

enum slow_down_step slow_down_tend(const struct slow_down_law *law, struct slow_down_state *state,
                                   int64_t now_ns)
{
    enum slow_down_step answer = SLOW_DOWN_NOTHING;

    while (state->rate > 0) {
        int64_t quiet = quiet_ns(law, state), passed = now_ns - state->changed_ns;
        bool beyond = state->rate >= state->refused;
        if (passed < quiet)
            break;
        if (beyond && !state->accepted) {
            if (passed >= SLOW_DOWN_DAY_NS && passed >= quiet)
                return end(state);
            break;
        }
        int64_t before = state->rate, step = step_up(state);
        state->rate = code_rate(rate_code(before + step));
        if (state->rate ==
            before) /* the step is lost in the rounding of a large rate: the next that is none */
            state->rate = code_rate(rate_code(before) + 1);
        if (state->rate > state->refused) {
            state->passed += state->passed < SLOW_DOWN_COUNT_MAX;
            state->accepted = false;
        }
        state->blocked = 0;
        state->changed_ns += quiet;
        answer = SLOW_DOWN_FASTER;
        if (state->rate >= (law->whole > 0 ? law->whole : state->refused * 4))
            return end(state);
    }
    return answer;
}

int64_t slow_down_next_ns(const struct slow_down_law *law, const struct slow_down_state *state)
{
    return state->changed_ns + quiet_ns(law, state);
}
