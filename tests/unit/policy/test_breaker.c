#include "policy/breaker.h"

#include <stdlib.h>
#include <unistd.h>

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

static void fails(int times)
{
    for (int i = 0; i < times; i++)
        breaker_report(table, "primary", BREAKER_CLOSED, BREAKER_FAILS);
}

static enum breaker_state ask(void)
{
    return breaker_ask(table, "primary").state;
}

START_TEST(it_opens_after_so_many_failures_in_a_row)
{
    fails(BREAKER_THRESHOLD - 1);
    breaker_report(table, "primary", BREAKER_CLOSED, BREAKER_WORKS);
    fails(BREAKER_THRESHOLD - 1);
    ck_assert_int_eq(ask(), BREAKER_CLOSED);
    fails(1);
    struct breaker breaker = breaker_ask(table, "primary");
    ck_assert_int_eq(breaker.state, BREAKER_OPEN);
    ck_assert_uint_eq(breaker.failures, BREAKER_THRESHOLD);
    ck_assert_int_eq(breaker.until_ns, atomic_load(&simulation->now) + BREAKER_FIRST_NS);
    ck_assert_int_eq(breaker_ask(table, "backup").state, BREAKER_CLOSED);
}
END_TEST

static void expect_a_single_try(void)
{
    ck_assert_int_eq(ask(), BREAKER_TRY);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(ask(), BREAKER_OPEN);
}

START_TEST(one_at_a_time_tries_again)
{
    fails(BREAKER_THRESHOLD);
    atomic_fetch_add(&simulation->now, BREAKER_FIRST_NS);
    expect_a_single_try();
    breaker_report(table, "primary", BREAKER_TRY, BREAKER_UNKNOWN); /* was not tried after all */
    expect_a_single_try();
    breaker_report(table, "primary", BREAKER_TRY, BREAKER_WORKS);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(ask(), BREAKER_CLOSED);
    fails(BREAKER_THRESHOLD);
    atomic_fetch_add(&simulation->now, BREAKER_FIRST_NS);
    expect_a_single_try();
}
END_TEST

START_TEST(the_pause_grows_with_each_failed_try_up_to_a_bound)
{
    int64_t pause = BREAKER_FIRST_NS;

    fails(BREAKER_THRESHOLD);
    for (int i = 0; i < 100000 / simulation_haste(); i++) {
        struct breaker breaker = breaker_ask(table, "primary");
        ck_assert_int_eq(breaker.state, BREAKER_OPEN);
        ck_assert_int_eq(breaker.until_ns, atomic_load(&simulation->now) + pause);
        atomic_store(&simulation->now, breaker.until_ns - 1);
        ck_assert_int_eq(ask(), BREAKER_OPEN);
        atomic_store(&simulation->now, breaker.until_ns);
        ck_assert_int_eq(ask(), BREAKER_TRY);
        breaker_report(table, "primary", BREAKER_TRY, BREAKER_FAILS);
        pause = pause * 2 < BREAKER_LONGEST_NS ? pause * 2 : BREAKER_LONGEST_NS;
    }
}
END_TEST

START_TEST(those_that_were_on_their_way_do_not_lengthen_the_pause)
{
    fails(BREAKER_THRESHOLD + 50);
    ck_assert_int_eq(breaker_look(table, "primary").until_ns,
                     atomic_load(&simulation->now) + BREAKER_FIRST_NS);
    atomic_fetch_add(&simulation->now, BREAKER_FIRST_NS);
    ck_assert_int_eq(breaker_look(table, "primary").state, BREAKER_TRY);
    ck_assert_int_eq(breaker_look(table, "primary").state, BREAKER_TRY);
    ck_assert_int_eq(ask(), BREAKER_TRY);
}
END_TEST

START_TEST(who_dies_while_trying_blocks_for_a_bounded_time)
{
    fails(BREAKER_THRESHOLD);
    atomic_fetch_add(&simulation->now, BREAKER_FIRST_NS);
    ck_assert_int_eq(ask(), BREAKER_TRY);
    atomic_fetch_add(&simulation->now, BREAKER_TRY_NS);
    ck_assert_int_eq(ask(), BREAKER_TRY);
}
END_TEST

START_TEST(damage_and_reset_close_it_or_let_one_try)
{
    struct rate_key key;

    fails(BREAKER_THRESHOLD);
    rate_key_set(&key, "primary", "breaker", 0);
    struct rate_entry *entry = rate_table_find(table, &key);
    ck_assert_ptr_nonnull(entry);
    atomic_store(&entry->words[0], INT64_MAX);
    ck_assert_int_eq(ask(), BREAKER_TRY);
    breaker_report(table, "primary", BREAKER_TRY, BREAKER_FAILS);
    ck_assert_int_eq(ask(), BREAKER_OPEN);
    breaker_reset(table, "primary");
    ck_assert_int_eq(ask(), BREAKER_CLOSED);
}
END_TEST

static void child_ask(struct simulation *shared, int64_t end, int64_t step)
{
    struct rate_table *own = simulation_table(shared);

    (void)step;
    while (atomic_load(&shared->now) < end) {
        if (breaker_look(own, "primary").state != BREAKER_TRY) {
            if (atomic_load(&shared->busy) == 0) /* a try takes no time here */
                atomic_fetch_add(&shared->now, SECOND / 100);
            continue;
        }
        atomic_fetch_add(&shared->busy, 1);
        if (breaker_ask(own, "primary").state == BREAKER_TRY) {
            simulation_record(shared, atomic_load(&shared->now));
            breaker_report(own, "primary", BREAKER_TRY, BREAKER_FAILS);
        }
        atomic_fetch_sub(&shared->busy, 1);
    }
    _exit(0);
}

START_TEST(processes_try_by_turns)
{
    int64_t begin = atomic_load(&simulation->now);

    fails(BREAKER_THRESHOLD);
    for (int i = 0; i < 8; i++)
        simulation_start(simulation, child_ask, begin + 2 * HOUR, 0);
    simulation_expect_all_well(8);
    size_t tries = atomic_load(&simulation->count); /* at 5, 15, 35, 75, 155, 315, 635 s, then every 600 s */
    ck_assert_uint_le(tries, 7 + 11);
    ck_assert_uint_ge(tries, 7);
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, BREAKER_FIRST_NS), 1);
}
END_TEST

UNIT_SUITE(breaker_suite)
{
    Suite *suite = suite_create("breaker");
    TCase *tcase = tcase_create("breaker");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_opens_after_so_many_failures_in_a_row);
    tcase_add_test(tcase, one_at_a_time_tries_again);
    tcase_add_test(tcase, the_pause_grows_with_each_failed_try_up_to_a_bound);
    tcase_add_test(tcase, those_that_were_on_their_way_do_not_lengthen_the_pause);
    tcase_add_test(tcase, who_dies_while_trying_blocks_for_a_bounded_time);
    tcase_add_test(tcase, damage_and_reset_close_it_or_let_one_try);
    tcase_add_test(tcase, processes_try_by_turns);
    suite_add_tcase(suite, tcase);
    return suite;
}
