#include "policy/rate_limit.h"

#include <stdlib.h>
#include <string.h>

#include "simulation.h"
#include "suites.h"

static struct simulation *simulation;
static struct rate_table *table;

static void setup(void)
{
    simulation = simulation_begin();
    table = simulation_table(simulation);
}

static void teardown(void)
{
    rate_table_close(table);
    simulation_end(simulation);
}

static struct config_tpsp tpsp_with(uint32_t limit, int64_t window_ms)
{
    struct config_tpsp tpsp = {.name = (char *)"primary", .global_rate = {limit, window_ms}};

    return tpsp;
}

static struct rate_set set_for(const struct config_tpsp *tpsp, enum provider_category provider,
                               uint32_t burst)
{
    struct rate_set set;
    struct outcome error;

    ck_assert(rate_set_init(&set, tpsp, provider, burst, &error));
    return set;
}

static struct rate_grant last_grant;
static const struct rate_limit *last_limit;
static int64_t last_next;

static bool take(struct rate_set *set)
{
    struct outcome error;
    enum rate_answer answer = rate_limit_take(table, set, &last_grant, &last_limit, &last_next, &error);

    ck_assert_msg(answer != RATE_TROUBLE, "%s", error.text);
    if (answer == RATE_GRANTED)
        simulation_record(simulation, last_grant.time_ns);
    return answer == RATE_GRANTED;
}

static unsigned take_all(struct rate_set *set)
{
    unsigned taken = 0;

    while (take(set))
        taken++;
    return taken;
}

static const struct {
    uint32_t limit;
    int64_t window_ms;
    uint32_t burst;
} shapes[] = {{1, 3600000, 10},     {2, 3600000, 10},    {10, 60000, 10},     {10, 60000, 1},
              {100, 3600000, 10},   {100, 3600000, 100}, {97, 3600000, 7},    {2000, 86400000, 10},
              {7, 86400000, 3},     {1000, 1000, 10},    {3, 1000, 2},        {24, 60000, 24},
              {25, 60000, 1000000}, {13, 777000, 5},     {100000, 3600000, 1}};

/* Someone with very much to send asks at random times, and at each time that he was told. */
START_TEST(no_window_ever_has_more_than_the_limit_and_a_busy_one_has_all_of_it)
{
    struct config_tpsp tpsp = tpsp_with(shapes[_i].limit, shapes[_i].window_ms);
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, shapes[_i].burst);
    int64_t window = shapes[_i].window_ms * 1000000, begin = atomic_load(&simulation->now);
    unsigned random = 1;

    while (atomic_load(&simulation->now) - begin < 5 * window) {
        take_all(&set);
        random = random * 1103515245 + 12345;
        /* asked too early, and again */
        atomic_store(&simulation->now,
                     random & 0x10000 || last_next - begin >= 5 * window ? last_next : last_next - 1);
    }
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, window), shapes[_i].limit);
    ck_assert_uint_ge(atomic_load(&simulation->count), 5 * (size_t)shapes[_i].limit - 5);
}
END_TEST

static bool goes_on(int64_t begin, int64_t window)
{
    return atomic_load(&simulation->now) - begin < 10 * window &&
           atomic_load(&simulation->count) < 100000 / (unsigned)simulation_haste();
}

START_TEST(no_window_has_more_than_the_limit_under_gusts)
{
    struct config_tpsp tpsp = tpsp_with(shapes[_i].limit, shapes[_i].window_ms);
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, shapes[_i].burst);
    int64_t window = shapes[_i].window_ms * 1000000, begin = atomic_load(&simulation->now);

    srandom((unsigned)_i);
    while (goes_on(begin, window)) {
        for (long wanted = random() % 40; wanted > 0 && take(&set); wanted--)
            ;
        atomic_fetch_add(&simulation->now, simulation_random(window / (random() % 100 + 1)));
    }
    ck_assert_uint_gt(atomic_load(&simulation->count), 0);
    ck_assert_uint_le(simulation_most_in_a_window(simulation, window), shapes[_i].limit);
}
END_TEST

START_TEST(an_idle_limit_hands_out_its_burst_and_no_more)
{
    struct config_tpsp tpsp = tpsp_with(100, 3600000);
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, 10);

    ck_assert_uint_eq(take_all(&set), 10);
    atomic_fetch_add(&simulation->now, 30 * DAY);
    ck_assert_uint_eq(take_all(&set), 10);
    ck_assert_int_eq(last_next - atomic_load(&simulation->now), HOUR / 91 + 1);
    atomic_store(&simulation->now, last_next);
    ck_assert_uint_eq(take_all(&set), 1);
}
END_TEST

START_TEST(a_limit_below_the_burst_may_be_used_at_once)
{
    struct config_tpsp tpsp = tpsp_with(3, 3600000);
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, 10);

    ck_assert_uint_eq(take_all(&set), 3);
    ck_assert_int_eq(last_next - atomic_load(&simulation->now), HOUR);
}
END_TEST

START_TEST(a_limit_of_zero_is_none)
{
    struct config_tpsp tpsp = tpsp_with(0, 3600000);
    struct rate_set set = set_for(&tpsp, PROVIDER_GMAIL, 10);

    ck_assert_uint_eq(set.count, 0);
    for (int i = 0; i < 1000; i++)
        ck_assert(take(&set));
}
END_TEST

START_TEST(limits_are_taken_together_or_not_at_all)
{
    struct config_tpsp tpsp = tpsp_with(20, 3600000);
    struct config_rate rates[] = {{15, 60000}, {12, 86400000}};

    tpsp.rates = rates;
    tpsp.rate_count = 2;
    tpsp.provider_rates[PROVIDER_GMAIL] = (struct config_rate){4, 3600000};
    struct rate_set gmail = set_for(&tpsp, PROVIDER_GMAIL, 20), yahoo = set_for(&tpsp, PROVIDER_YAHOO, 20);
    ck_assert_uint_eq(gmail.count, 4);
    ck_assert_uint_eq(take_all(&gmail), 4);
    ck_assert_str_eq(last_limit->provider, "gmail");
    for (int i = 0; i < 50; i++)
        ck_assert(!take(&gmail));
    ck_assert_uint_eq(take_all(&yahoo), 8); /* what gmail was refused took nothing from the others */
    ck_assert_int_eq(last_limit->rate.window_ms, 86400000);
    ck_assert_int_eq(last_next - atomic_load(&simulation->now), DAY);
}
END_TEST

START_TEST(of_several_refusals_the_longest_is_named)
{
    struct config_tpsp tpsp = tpsp_with(1, 3600000);
    struct config_rate rates[] = {{1, 1000}, {1, 86400000}, {1, 60000}};
    struct outcome outcome;

    tpsp.rates = rates;
    tpsp.rate_count = 3;
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, 10);
    ck_assert(take(&set));
    ck_assert(!take(&set));
    rate_limit_explain("primary", last_limit, last_next - atomic_load(&simulation->now), &outcome);
    ck_assert_str_eq(outcome.text, "rate limit of TPSP primary: 1/d, reached, next slot in 86400 s");
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(outcome.cause, CAUSE_RATE);
    ck_assert_str_eq(outcome.enhanced, "4.7.1");
}
END_TEST

START_TEST(of_two_rates_with_one_window_the_lower_holds)
{
    struct config_tpsp tpsp = tpsp_with(0, 3600000);
    struct config_rate rates[] = {{5, 60000}, {2, 60000}, {9, 60000}};

    tpsp.rates = rates;
    tpsp.rate_count = 3;
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, 10);
    ck_assert_uint_eq(set.count, 1);
    ck_assert_uint_eq(take_all(&set), 2);
}
END_TEST

START_TEST(too_many_rates_are_refused_not_forgotten)
{
    struct config_tpsp tpsp = tpsp_with(1, 3600000);
    struct config_rate rates[RATE_SET_MAX];
    struct rate_set set;
    struct outcome error;

    for (size_t i = 0; i < RATE_SET_MAX; i++)
        rates[i] = (struct config_rate){1, 1000 + (int64_t)i};
    tpsp.rates = rates;
    tpsp.rate_count = RATE_SET_MAX;
    ck_assert(!rate_set_init(&set, &tpsp, PROVIDER_DEFAULT, 10, &error));
    ck_assert_str_eq(error.enhanced, "4.3.5");
    ck_assert_ptr_nonnull(strstr(error.text, "primary"));
}
END_TEST

START_TEST(the_text_names_limit_and_provider)
{
    struct config_tpsp tpsp = tpsp_with(0, 3600000);
    struct outcome outcome;

    tpsp.provider_rates[PROVIDER_GMAIL] = (struct config_rate){100, 3600000};
    struct rate_set set = set_for(&tpsp, PROVIDER_GMAIL, 1);
    rate_limit_explain("primary", &set.limits[0], 33 * SECOND + 1, &outcome);
    ck_assert_str_eq(outcome.text,
                     "rate limit of TPSP primary: 100/h (provider gmail), spread, next slot in 34 s");
    char text[RATE_TEXT_SIZE];
    ck_assert_str_eq(rate_text(&(struct config_rate){5, 90000}, text), "5 in 90 s");
}
END_TEST

/* Every second delivery finds its TPSP unreachable, a random while later. */
START_TEST(slots_given_back_may_be_used_again_and_break_no_promise)
{
    struct config_tpsp tpsp = tpsp_with(shapes[_i].limit, shapes[_i].window_ms);
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, shapes[_i].burst);
    int64_t window = shapes[_i].window_ms * 1000000, begin = atomic_load(&simulation->now);
    struct rate_grant unused[8];
    size_t held = 0;

    srandom((unsigned)_i);
    while (goes_on(begin, window)) {
        if (take(&set) && random() % 2 && held < 8) {
            unused[held++] = last_grant;
            atomic_fetch_sub(&simulation->count, 1); /* it is the last record */
        }
        if (held > 0 && random() % 3 == 0)
            rate_limit_give_back(table, &unused[--held]);
        atomic_fetch_add(&simulation->now, simulation_random(2 * window / shapes[_i].limit + 1));
    }
    ck_assert_uint_le(simulation_most_in_a_window(simulation, window), shapes[_i].limit);
}
END_TEST

START_TEST(an_unreachable_tpsp_uses_up_nothing)
{
    struct config_tpsp tpsp = tpsp_with(2, 86400000);

    tpsp.provider_rates[PROVIDER_AOL] = (struct config_rate){1, 3600000};
    struct rate_set set = set_for(&tpsp, PROVIDER_AOL, 10);
    for (int i = 0; i < 100; i++) {
        ck_assert(take(&set));
        atomic_fetch_add(&simulation->now, 30 * SECOND);
        rate_limit_give_back(table, &last_grant);
        rate_limit_give_back(table, &last_grant); /* a second time changes nothing */
    }
    ck_assert(take(&set));
    ck_assert(!take(&set));
}
END_TEST

START_TEST(a_changed_limit_takes_effect_at_once_and_remembers)
{
    struct config_tpsp old = tpsp_with(10, 3600000), new = tpsp_with(30, 3600000);
    struct rate_set set = set_for(&old, PROVIDER_DEFAULT, 10), wider = set_for(&new, PROVIDER_DEFAULT, 10);

    ck_assert_uint_eq(take_all(&set), 10);
    ck_assert_uint_eq(take_all(&wider), 0);
    ck_assert_int_eq(last_next - atomic_load(&simulation->now), HOUR / 21 + 1);
    for (int64_t end = last_next + HOUR; last_next < end;) {
        atomic_store(&simulation->now, last_next);
        take_all(&wider);
    }
    ck_assert_uint_le(simulation_most_in_a_window(simulation, HOUR), 30);
    ck_assert_uint_ge(atomic_load(&simulation->count), 30);
    ck_assert_uint_eq(take_all(&set), 0); /* back to the old limit, which is used up */
}
END_TEST

START_TEST(no_content_blocks_a_lane_for_longer_than_its_interval)
{
    struct config_tpsp tpsp = tpsp_with(100, 3600000);
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, 10);
    static const int64_t damage[] = {INT64_MAX, INT64_MIN, -1, 0x5555555555555555};

    ck_assert(take(&set));
    for (size_t i = 0; i < RATE_WORDS; i++)
        atomic_store(&set.limits[0].entry->words[i], damage[_i]);
    if (damage[_i] > 0) {
        ck_assert(!take(&set));
        ck_assert_int_le(last_next, atomic_load(&simulation->now) + HOUR / 91 + 1);
        atomic_store(&simulation->now, last_next);
        ck_assert_uint_eq(take_all(&set), 1);
        atomic_fetch_add(&simulation->now, HOUR);
    }
    ck_assert_uint_eq(take_all(&set), 10); /* as from a fresh file */
}
END_TEST

START_TEST(a_reset_forgets_and_a_look_takes_nothing)
{
    struct config_tpsp tpsp = tpsp_with(100, 3600000);
    struct rate_set set = set_for(&tpsp, PROVIDER_DEFAULT, 10);
    int64_t next;

    ck_assert_uint_eq(rate_limit_peek(table, &set.limits[0], &next), 10);
    ck_assert_uint_eq(take_all(&set), 10);
    ck_assert_uint_eq(rate_limit_peek(table, &set.limits[0], &next), 0);
    ck_assert_int_eq(next, last_next);
    rate_limit_reset(table, &set.limits[0]);
    ck_assert_uint_eq(rate_limit_peek(table, &set.limits[0], &next), 10);
    ck_assert_uint_eq(take_all(&set), 10);
}
END_TEST

UNIT_SUITE(rate_limit_suite)
{
    Suite *suite = suite_create("rate_limit");
    TCase *tcase = tcase_create("rate_limit");
    const int shape_count = sizeof shapes / sizeof shapes[0];

    tcase_add_checked_fixture(tcase, setup, teardown);
    /* the last has too many for a simulation one by one */
    tcase_add_loop_test(tcase, no_window_ever_has_more_than_the_limit_and_a_busy_one_has_all_of_it, 0,
                        shape_count - 1);
    tcase_add_loop_test(tcase, no_window_has_more_than_the_limit_under_gusts, 0, shape_count);
    tcase_add_test(tcase, an_idle_limit_hands_out_its_burst_and_no_more);
    tcase_add_test(tcase, a_limit_below_the_burst_may_be_used_at_once);
    tcase_add_test(tcase, a_limit_of_zero_is_none);
    tcase_add_test(tcase, limits_are_taken_together_or_not_at_all);
    tcase_add_test(tcase, of_several_refusals_the_longest_is_named);
    tcase_add_test(tcase, of_two_rates_with_one_window_the_lower_holds);
    tcase_add_test(tcase, too_many_rates_are_refused_not_forgotten);
    tcase_add_test(tcase, the_text_names_limit_and_provider);
    tcase_add_loop_test(tcase, slots_given_back_may_be_used_again_and_break_no_promise, 0, shape_count);
    tcase_add_test(tcase, an_unreachable_tpsp_uses_up_nothing);
    tcase_add_test(tcase, a_changed_limit_takes_effect_at_once_and_remembers);
    tcase_add_loop_test(tcase, no_content_blocks_a_lane_for_longer_than_its_interval, 0, 4);
    tcase_add_test(tcase, a_reset_forgets_and_a_look_takes_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
