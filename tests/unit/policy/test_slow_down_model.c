/* slow_down against a server that does not tell its limit: bounds for what it makes of it in a day. */
#include "slow_down_model.h"

#include "suites.h"

#define MINUTE (60 * INT64_C(1000000000))
#define HOUR (60 * MINUTE)
#define DAY_MINUTES (24 * 60)

static struct model_result result;

static const double hidden[] = {6000, 1000, 600, 120};

START_TEST(from_ten_times_too_fast_it_finds_the_limit_within_half_an_hour_and_keeps_to_it)
{
    const double limit = hidden[_i];
    const struct model model = {.control = MODEL_OURS,
                                .hidden = limit,
                                .window_ns = MINUTE,
                                .demand = 10 * limit,
                                .duration_ns = 25 * HOUR};

    model_run(&model, &result);
    /* the server takes whole messages a minute */
    double takes = (double)(int)(limit / 60) * 60;
    ck_assert_double_ge(model_rate(&result, 30, 30 + DAY_MINUTES), 0.8 * takes);
    ck_assert_double_lt(model_refusals(&result, 30, 30 + DAY_MINUTES), 0.02);
}
END_TEST

START_TEST(a_limit_that_doubles_is_followed_within_two_hours)
{
    const struct model model = {.control = MODEL_OURS,
                                .hidden = 6000,
                                .window_ns = MINUTE,
                                .doubles_at_ns = 6 * HOUR,
                                .demand = 60000,
                                .duration_ns = 12 * HOUR};

    model_run(&model, &result);
    ck_assert_double_ge(model_rate(&result, 8 * 60, 12 * 60), 0.8 * 12000);
    ck_assert_double_lt(model_refusals(&result, 6 * 60, 12 * 60), 0.02);
}
END_TEST

START_TEST(a_limit_by_the_hour_is_not_hammered_while_it_is_used_up)
{
    const struct model model = {
        .control = MODEL_OURS, .hidden = 6000, .window_ns = HOUR, .demand = 60000, .duration_ns = 25 * HOUR};

    model_run(&model, &result);
    ck_assert_double_ge(model_rate(&result, 60, 60 + DAY_MINUTES), 0.8 * 6000);
    ck_assert_double_lt(model_refusals(&result, 60, 60 + DAY_MINUTES), 0.02);
}
END_TEST

UNIT_SUITE(slow_down_model_suite)
{
    Suite *suite = suite_create("slow_down_model");
    TCase *tcase = tcase_create("slow_down_model");

    tcase_add_loop_test(tcase, from_ten_times_too_fast_it_finds_the_limit_within_half_an_hour_and_keeps_to_it,
                        0, sizeof hidden / sizeof hidden[0]);
    tcase_add_test(tcase, a_limit_that_doubles_is_followed_within_two_hours);
    tcase_add_test(tcase, a_limit_by_the_hour_is_not_hammered_while_it_is_used_up);
    suite_add_tcase(suite, tcase);
    return suite;
}
