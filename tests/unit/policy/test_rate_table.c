/* Many processes over one table, dying in it, and what becomes of its room. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simulation.h"
#include "suites.h"

static struct simulation *simulation;

static void setup(void)
{
    simulation = simulation_begin();
}

static void teardown(void)
{
    simulation_end(simulation);
}

/* --- many processes ---------------------------------------------------------------------------- */

START_TEST(sixty_four_processes_share_a_limit_exactly_for_a_day)
{
    int64_t end = atomic_load(&simulation->now) + DAY;

    for (int i = 0; i < 64; i++)
        simulation_start(simulation, simulation_hammer, end, simulation_haste() * 100000000);
    simulation_expect_all_well(64);
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, HOUR), 100);
    ck_assert_uint_ge(atomic_load(&simulation->count), 2400 - 10 * (unsigned)simulation_haste());
}
END_TEST

static void child_take_once(struct simulation *shared, int64_t end, int64_t step)
{
    struct rate_table *table = simulation_table(simulation);
    struct rate_grant grant;
    struct rate_set set;

    (void)shared;
    (void)end;
    (void)step;
    simulation_set(simulation, &set, PROVIDER_DEFAULT, 24);
    if (simulation_take(table, &set, &grant))
        simulation_record(simulation, grant.time_ns);
    rate_table_close(table);
    _exit(0);
}

START_TEST(a_hundred_processes_may_begin_the_file_at_once)
{
    char path[128];

    simulation_path(simulation, path);
    if (_i == 1)
        ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0640)), 0); /* empty */
    for (int i = 0; i < 100; i++)
        simulation_start(simulation, child_take_once, 0, 0);
    simulation_expect_all_well(100);
    ck_assert_uint_eq(atomic_load(&simulation->count), 24);
}
END_TEST

/* Half of them mail for gmail, whose limit is the tighter one, and fail there mostly. */
static void child_two_limits(struct simulation *shared, int64_t end, int64_t step)
{
    struct rate_table *table = simulation_table(simulation);
    (void)shared;
    bool gmail = getpid() % 2 == 0;
    struct rate_grant grant;
    struct rate_set set;

    simulation_set(simulation, &set, gmail ? PROVIDER_GMAIL : PROVIDER_YAHOO, 10);
    while (atomic_load(&simulation->now) < end) {
        if (simulation_take(table, &set, &grant))
            simulation_record(simulation, grant.time_ns);
        else if (!gmail) /* time goes on only where something could have been sent */
            atomic_fetch_add(&simulation->now, step);
    }
    _exit(0);
}

START_TEST(what_is_rolled_back_under_contention_takes_nothing_away)
{
    int64_t end = atomic_load(&simulation->now) + 10 * HOUR;

    simulation->tpsp.provider_rates[PROVIDER_GMAIL] = (struct config_rate){5, 3600000};
    for (int i = 0; i < 8; i++)
        simulation_start(simulation, child_two_limits, end, simulation_haste() * 20000000);
    simulation_expect_all_well(8);
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, HOUR), 100);
    ck_assert_uint_ge(atomic_load(&simulation->count), 990);
}
END_TEST

/* Time stands still in a round; all take what there is until there is no more, then the last one begins the
 * next round. */
#define ROUNDS (300 / simulation_haste())
#define TAKERS 4

static void child_rounds(struct simulation *shared, int64_t end, int64_t step)
{
    struct rate_table *table = simulation_table(shared);
    struct rate_grant grant;
    struct rate_set set;

    (void)end;
    (void)step;
    simulation_set(shared, &set, PROVIDER_GMAIL, RATE_BURST_MAX);
    for (int round = 1, rounds = ROUNDS; round <= rounds; round++) {
        int64_t now = atomic_load(&shared->now);
        for (int refusals = 0;
             refusals < 100;) { /* refused, too, while another one holds what it then puts back */
            if (simulation_take(table, &set, &grant))
                simulation_record(shared, grant.time_ns);
            else
                refusals++;
        }
        if (atomic_fetch_add(&shared->busy, 1) + 1 == round * TAKERS)
            atomic_fetch_add(&shared->now, SECOND);
        while (atomic_load(&shared->now) == now)
            sched_yield();
    }
    _exit(0);
}

START_TEST(who_loses_a_race_for_one_limit_puts_back_the_other)
{
    simulation->tpsp.global_rate = (struct config_rate){RATE_BURST_MAX, 1000};
    simulation->tpsp.provider_rates[PROVIDER_GMAIL] = (struct config_rate){RATE_BURST_MAX, 1000};
    for (int i = 0; i < TAKERS; i++)
        simulation_start(simulation, child_rounds, 0, 0);
    simulation_expect_all_well(TAKERS);
    ck_assert_uint_eq(atomic_load(&simulation->count), ROUNDS * RATE_BURST_MAX);
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, SECOND), RATE_BURST_MAX);
}
END_TEST

START_TEST(processes_killed_at_any_instant_leave_it_whole)
{
    int64_t end = atomic_load(&simulation->now) + 100 * DAY;
    const int rounds = 400 / simulation_haste();
    pid_t children[8];
    char path[128];

    simulation_path(simulation, path);
    for (size_t i = 0; i < 8; i++)
        children[i] = simulation_start(simulation, simulation_hammer, end, 1000000000);
    srandom(1);
    /* on a machine that is busy with other things it takes longer until one gets so far */
    for (int round = 0; round < rounds || (atomic_load(&simulation->count) == 0 && round < 40000); round++) {
        size_t victim = (size_t)random() % 8;
        usleep((useconds_t)(random() % 3000)); /* not to wait for something, but to hit anywhere */
        ck_assert_int_eq(kill(children[victim], SIGKILL), 0);
        ck_assert_int_eq(waitpid(children[victim], NULL, 0), children[victim]);
        if (_i == 1 && round % (rounds / 8) == rounds / 8 - 1)
            ck_assert(unlink(path) == 0 || errno == ENOENT); /* so that creation, too, is hit */
        children[victim] = simulation_start(simulation, simulation_hammer, end, 1000000000);
    }
    for (size_t i = 0; i < 8; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    /* each of the files admitted what it may */
    ck_assert_uint_le(simulation_most_in_a_window(simulation, HOUR), _i == 1 ? 9 * 100 : 100);
    ck_assert_uint_gt(atomic_load(&simulation->count), 0);
    atomic_fetch_add(&simulation->now, HOUR);
    atomic_store(&simulation->count, 0);
    simulation_start(simulation, simulation_hammer, atomic_load(&simulation->now) + 3 * HOUR, 100000000);
    simulation_expect_all_well(1);
    ck_assert_uint_eq(simulation_most_in_a_window(simulation, HOUR), 100);
    snprintf(path, sizeof path, "%s/rates.new", simulation->dir); /* a killed writer may leave it */
    unlink(path);
}
END_TEST

/* --- room -------------------------------------------------------------------------------------- */

START_TEST(entries_that_hold_nothing_give_way_and_those_in_use_do_not)
{
    struct rate_table *table = simulation_table(simulation);
    struct rate_entry *entry = NULL;
    struct rate_key key;
    struct outcome error;
    char name[32];
    unsigned stored = 0;

    for (int i = 0; i < 2 * (int)RATE_ENTRIES; i++) { /* twice what there is room for, all in use */
        snprintf(name, sizeof name, "tpsp-%d", i);
        rate_key_set(&key, name, "global", HOUR);
        entry = rate_table_obtain(table, &key, &error);
        if (entry != NULL) {
            atomic_store(&entry->words[0], atomic_load(&simulation->now) + HOUR);
            stored++;
        }
    }
    ck_assert_ptr_null(entry);
    ck_assert_str_eq(error.enhanced, "4.3.0");
    ck_assert_uint_le(stored, RATE_ENTRIES);
    ck_assert_uint_ge(stored, RATE_ENTRIES * 9 / 10);
    atomic_fetch_add(&simulation->now, HOUR);
    for (int i = 0; i < 2 * (int)RATE_ENTRIES;
         i++) { /* the hour is over: there is room for all, one after the other */
        snprintf(name, sizeof name, "new-%d", i);
        rate_key_set(&key, name, "global", HOUR);
        entry = rate_table_obtain(table, &key, &error);
        ck_assert_ptr_nonnull(entry);
        ck_assert_ptr_eq(rate_table_find(table, &key), entry);
        ck_assert_int_eq(atomic_load(&entry->words[0]), 0);
    }
    rate_table_close(table);
}
END_TEST

START_TEST(names_and_kinds_are_told_apart)
{
    static const char *const names[][2] = {{"a", "global"},
                                           {"b", "global"},
                                           {"a", "rate"},
                                           {"ag", "lobal"},
                                           {"a-tpsp-whose-name-is-longer-than-any-label-1", "x"},
                                           {"a-tpsp-whose-name-is-longer-than-any-label-1", "y"}};
    struct rate_table *table = simulation_table(simulation);
    struct rate_entry *entries[2 * 6];
    struct rate_key key;
    struct outcome error;

    for (size_t i = 0; i < 12; i++) {
        rate_key_set(&key, names[i / 2][0], names[i / 2][1], i % 2 ? HOUR : MINUTE);
        entries[i] = rate_table_obtain(table, &key, &error);
        for (size_t j = 0; j < i; j++)
            ck_assert_ptr_ne(entries[i], entries[j]);
    }
    rate_table_close(table);
}
END_TEST

/* Whoever holds one may call others who find that the file was replaced. */
START_TEST(an_entry_of_a_file_that_was_replaced_points_to_nothing_of_the_new_one)
{
    struct rate_table *table = simulation_table(simulation);
    struct outcome error;
    struct rate_key key;
    char path[128];

    rate_key_set(&key, "primary", "told", 0);
    struct rate_entry *held = rate_table_obtain(table, &key, &error);
    simulation_path(simulation, path);
    ck_assert_int_eq(unlink(path), 0);
    atomic_fetch_add(&simulation->now, SECOND);
    ck_assert(rate_table_ready(table, rate_table_now(table), &error));
    const struct rate_entry *anew = rate_table_obtain(table, &key, &error);
    atomic_store(&held->words[0], 7);
    ck_assert_int_eq(atomic_load(&anew->words[0]), 0);
    ck_assert_int_eq(atomic_load(&held->words[0]), 7);
    rate_table_close(table);
}
END_TEST

UNIT_SUITE(rate_table_suite)
{
    Suite *suite = suite_create("rate_table");
    TCase *tcase = tcase_create("rate_table");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, sixty_four_processes_share_a_limit_exactly_for_a_day);
    tcase_add_loop_test(tcase, a_hundred_processes_may_begin_the_file_at_once, 0, 2);
    tcase_add_test(tcase, what_is_rolled_back_under_contention_takes_nothing_away);
    tcase_add_test(tcase, who_loses_a_race_for_one_limit_puts_back_the_other);
    tcase_add_loop_test(tcase, processes_killed_at_any_instant_leave_it_whole, 0, 2);
    tcase_add_test(tcase, entries_that_hold_nothing_give_way_and_those_in_use_do_not);
    tcase_add_test(tcase, an_entry_of_a_file_that_was_replaced_points_to_nothing_of_the_new_one);
    tcase_add_test(tcase, names_and_kinds_are_told_apart);
    suite_add_tcase(suite, tcase);
    return suite;
}
