#include "policy/slow_down_law.h"

#include <stdlib.h>

#include "suites.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define ROUNDS (unit_tests_under_valgrind() ? 5000 : 100000)

static int64_t per_hour(double messages)
{
    return slow_down_rate(messages, HOUR);
}

static struct slow_down_law law_with(double whole)
{
    return (struct slow_down_law){.recovery_ns = 10 * MINUTE,
                                  .floor = slow_down_rate(1, MINUTE),
                                  .whole = whole > 0 ? per_hour(whole) : 0};
}

/* Rates are kept to half a percent. */
static void expect_rate(int64_t rate, double messages)
{
    ck_assert_msg(rate <= per_hour(messages) && (double)rate > 0.992 * (double)per_hour(messages),
                  "%f/h is not %f/h", (double)rate / 256 / 24, messages);
}

/* One that is refused, has had something accepted since the last step, and is refused again. */
static void refuse(const struct slow_down_law *law, struct slow_down_state *state, int64_t now)
{
    slow_down_accepted(state);
    ck_assert_int_eq(slow_down_refused(law, state, now, 0, 0), SLOW_DOWN_SLOWER);
    *state = slow_down_unpack(slow_down_pack(state), now);
}

START_TEST(a_word_holds_the_whole_state)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct slow_down_state state = {.rate = slow_down_rate(1 + (double)(random() % 100000), HOUR),
                                        .refused = slow_down_rate(1 + (double)(random() % 100000), HOUR),
                                        .changed_ns = random() % (1 << 29) * SECOND,
                                        .passed = (unsigned)random() % 8,
                                        .blocked = (unsigned)random() % 8,
                                        .accepted = random() % 2};
        struct slow_down_state again = slow_down_unpack(slow_down_pack(&state), INT64_MAX);
        ck_assert_int_le(again.rate, state.rate);
        ck_assert_int_ge(again.rate * 256, state.rate * 255);
        ck_assert_int_le(again.refused, state.refused);
        ck_assert_int_ge(again.refused * 256, state.refused * 255);
        ck_assert_int_eq(again.changed_ns, state.changed_ns);
        ck_assert_uint_eq(again.passed, state.passed);
        ck_assert_uint_eq(again.blocked, state.blocked);
        ck_assert(again.accepted == state.accepted);
        ck_assert_int_eq(slow_down_pack(&again), slow_down_pack(&state));
    }
}
END_TEST

START_TEST(any_content_is_a_state_that_ends)
{
    const struct slow_down_law law = law_with(0);

    for (int i = 0; i < ROUNDS; i++) {
        int64_t word = (int64_t)((uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random());
        struct slow_down_state state = slow_down_unpack(word, 3 * HOUR);
        ck_assert_int_le(state.changed_ns, 3 * HOUR);
        ck_assert_int_ge(state.rate, 0);
        ck_assert_int_le(state.rate, SLOW_DOWN_RATE_MAX);
        if (state.rate > 0) {
            ck_assert_int_gt(slow_down_interval(&law, &state), 0);
            ck_assert_int_le(slow_down_interval(&law, &state), DAY);
        }
        slow_down_tend(&law, &state, 400 * DAY);
        ck_assert_int_eq(state.rate, 0);
    }
}
END_TEST

START_TEST(far_above_it_is_halved_near_it_goes_down_by_fifteen_percent)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};
    int64_t now = HOUR;

    ck_assert_int_eq(slow_down_refused(&law, &state, now, per_hour(16000), 0), SLOW_DOWN_SLOWER);
    expect_rate(state.rate, 8000);
    refuse(&law, &state, now += MINUTE);
    expect_rate(state.rate, 4000);
    refuse(&law, &state, now += MINUTE);
    expect_rate(state.rate, 2000);
    for (int i = 0; i < 4; i++) /* quiet: up to 3600, by a tenth of 4000 at a time */
        slow_down_tend(&law, &state, now += 10 * MINUTE);
    ck_assert_int_gt(state.rate, per_hour(3500));
    double before = (double)state.rate / 256 / 24;
    refuse(&law, &state, now += MINUTE);
    expect_rate(state.rate, before * 0.85);
}
END_TEST

START_TEST(a_rule_may_have_its_own_factor_but_not_near_the_limit)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};

    slow_down_refused(&law, &state, HOUR, per_hour(1000), 100000);
    expect_rate(state.rate, 100);
    state.rate = state.refused;
    slow_down_accepted(&state);
    slow_down_refused(&law, &state, HOUR + MINUTE, 0, 100000);
    expect_rate(state.rate, 850);
}
END_TEST

START_TEST(what_was_sent_before_a_step_is_not_held_against_it)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};

    slow_down_refused(&law, &state, HOUR, per_hour(36000), 0);
    slow_down_accepted(&state);
    ck_assert_int_eq(slow_down_refused(&law, &state, HOUR + 19 * SECOND, 0, 0), SLOW_DOWN_NOTHING);
    ck_assert_int_eq(slow_down_refused(&law, &state, HOUR + 20 * SECOND, 0, 0), SLOW_DOWN_SLOWER);
}
END_TEST

START_TEST(where_nothing_goes_the_limit_stays_and_one_at_a_time_asks)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};
    int64_t now = HOUR, last = 0;

    slow_down_refused(&law, &state, now, per_hour(36000), 0);
    for (int i = 0; i < 9; i++) {
        ck_assert_int_eq(slow_down_refused(&law, &state, now += 10 * MINUTE, 0, 0), SLOW_DOWN_BLOCKED);
        expect_rate(state.rate, 18000);
        ck_assert_int_ge(slow_down_interval(&law, &state), last);
        last = slow_down_interval(&law, &state);
        ck_assert_int_le(last, law.recovery_ns);
    }
    ck_assert_int_eq(last, law.recovery_ns);
    ck_assert(slow_down_accepted(&state));
    ck_assert_int_eq(slow_down_interval(&law, &state), slow_down_pace(state.rate));
}
END_TEST

START_TEST(it_is_never_below_the_floor_nor_above_the_whole)
{
    const struct slow_down_law law = law_with(500);
    struct slow_down_state state = {0};
    int64_t now = HOUR;

    slow_down_refused(&law, &state, now, per_hour(100000), 0);
    expect_rate(state.rate, 250);
    for (int i = 0; i < 10; i++) {
        refuse(&law, &state, now += 10 * MINUTE);
        ck_assert_int_ge(state.rate, law.floor);
    }
    expect_rate(state.rate, 60);
    for (int i = 0; state.rate > 0; i++) {
        ck_assert_int_lt(i, 1000);
        ck_assert_int_le(state.rate, law.whole);
        slow_down_tend(&law, &state, now += MINUTE);
        slow_down_accepted(&state);
    }
}
END_TEST

START_TEST(a_floor_above_the_whole_does_not_raise_it)
{
    const struct slow_down_law law = law_with(10);
    struct slow_down_state state = {0};

    slow_down_refused(&law, &state, HOUR, 0, 0);
    ck_assert_int_eq(state.rate, law.whole);
}
END_TEST

START_TEST(it_grows_by_a_tenth_of_the_refused_rate_after_each_quiet_recovery)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};
    int64_t now = HOUR;

    slow_down_refused(&law, &state, now, per_hour(10000), 0);
    ck_assert_int_eq(slow_down_tend(&law, &state, now + 10 * MINUTE - 1), SLOW_DOWN_NOTHING);
    ck_assert_int_eq(slow_down_tend(&law, &state, now + 10 * MINUTE), SLOW_DOWN_FASTER);
    expect_rate(state.rate, 6000);
    ck_assert_int_eq(slow_down_tend(&law, &state, now + 30 * MINUTE), SLOW_DOWN_FASTER); /* two at once */
    expect_rate(state.rate, 8000);
    slow_down_tend(&law, &state, now + 12 * HOUR); /* nobody tries: as far as what was refused, no further */
    ck_assert_int_ge(state.rate, state.refused);
    ck_assert_int_le(state.rate, state.refused + state.refused / 10);
    ck_assert_int_eq(slow_down_tend(&law, &state, now + 3 * DAY), SLOW_DOWN_WHOLE);
}
END_TEST

START_TEST(steps_are_larger_when_it_has_long_been_quiet)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};
    int64_t now = HOUR, last = 0;
    unsigned steps = 0;

    slow_down_refused(&law, &state, now, per_hour(10000), 0);
    while (state.rate > 0) {
        int64_t before = state.rate;
        slow_down_accepted(&state);
        slow_down_tend(&law, &state, now += 10 * MINUTE);
        if (state.rate > 0) {
            ck_assert_int_ge((state.rate - before) * 100, last * 97);
            last = state.rate - before;
        }
        ck_assert_uint_lt(++steps, 20);
    }
    ck_assert_uint_ge(steps, 11); /* 5 to the refused rate, then .1 .1 .1 .2 .4 .8 1.6 of it */
}
END_TEST

START_TEST(a_low_limit_waits_for_sixty_messages_before_the_step_that_may_be_refused)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};
    int64_t now = HOUR;

    slow_down_refused(&law, &state, now, per_hour(100), 850000); /* 85, next 95: the risky one */
    slow_down_accepted(&state);
    int64_t next = slow_down_next_ns(&law, &state);
    ck_assert_int_eq(next - now, 30 * MINUTE); /* sixty would take 42 minutes: three times recovery at most */
    ck_assert_int_eq(slow_down_tend(&law, &state, next - 1), SLOW_DOWN_NOTHING);
    ck_assert_int_eq(slow_down_tend(&law, &state, next), SLOW_DOWN_FASTER);
}
END_TEST

START_TEST(a_change_in_the_future_is_damage_and_begins_anew)
{
    const struct slow_down_law law = law_with(0);
    struct slow_down_state state = {0};

    slow_down_refused(&law, &state, 100 * DAY, per_hour(1000), 0);
    struct slow_down_state booted = slow_down_unpack(slow_down_pack(&state), MINUTE);
    ck_assert_int_eq(booted.changed_ns, MINUTE);
    ck_assert_int_eq(booted.rate, slow_down_unpack(slow_down_pack(&state), 101 * DAY).rate);
    ck_assert_int_eq(slow_down_tend(&law, &booted, 12 * MINUTE), SLOW_DOWN_FASTER);
}
END_TEST

UNIT_SUITE(slow_down_law_suite)
{
    Suite *suite = suite_create("slow_down_law");
    TCase *tcase = tcase_create("slow_down_law");

    tcase_add_test(tcase, a_word_holds_the_whole_state);
    tcase_add_test(tcase, any_content_is_a_state_that_ends);
    tcase_add_test(tcase, far_above_it_is_halved_near_it_goes_down_by_fifteen_percent);
    tcase_add_test(tcase, a_rule_may_have_its_own_factor_but_not_near_the_limit);
    tcase_add_test(tcase, what_was_sent_before_a_step_is_not_held_against_it);
    tcase_add_test(tcase, where_nothing_goes_the_limit_stays_and_one_at_a_time_asks);
    tcase_add_test(tcase, it_is_never_below_the_floor_nor_above_the_whole);
    tcase_add_test(tcase, a_floor_above_the_whole_does_not_raise_it);
    tcase_add_test(tcase, it_grows_by_a_tenth_of_the_refused_rate_after_each_quiet_recovery);
    tcase_add_test(tcase, steps_are_larger_when_it_has_long_been_quiet);
    tcase_add_test(tcase, a_low_limit_waits_for_sixty_messages_before_the_step_that_may_be_refused);
    tcase_add_test(tcase, a_change_in_the_future_is_damage_and_begins_anew);
    suite_add_tcase(suite, tcase);
    return suite;
}
