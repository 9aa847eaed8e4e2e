#include "policy/session_limit.h"

#include "simulation.h"
#include "suites.h"

static struct simulation *simulation;
static struct rate_table *table;

static void set_up(void)
{
    simulation = simulation_begin();
    table = simulation_table(simulation);
}

static void tear_down(void)
{
    rate_table_close(table);
    simulation_end(simulation);
}

static unsigned limit(void)
{
    return session_limit_get(table, "primary");
}

static void ended_at(unsigned messages)
{
    session_limit_learn(table, "primary", messages, SESSION_LIMIT_ENDED);
}

START_TEST(what_is_said_counts_at_once_and_the_smallest_holds)
{
    ck_assert_uint_eq(limit(), 0);
    session_limit_learn(table, "primary", 20, SESSION_LIMIT_SAID);
    ck_assert_uint_eq(limit(), 20);
    session_limit_learn(table, "primary", 30, SESSION_LIMIT_SAID);
    ck_assert_uint_eq(limit(), 20);
    session_limit_learn(table, "primary", 10, SESSION_LIMIT_SAID);
    ck_assert_uint_eq(limit(), 10);
    ck_assert_uint_eq(session_limit_get(table, "backup"), 0);
}
END_TEST

START_TEST(sessions_that_end_here_and_there_have_no_limit)
{
    for (unsigned messages = 1; messages < 20; messages++)
        ended_at(messages);
    ck_assert_uint_eq(limit(), 0);
}
END_TEST

START_TEST(two_that_end_alike_within_the_hour_have)
{
    ended_at(7);
    simulation->now += SESSION_LIMIT_NS + SECOND;
    ended_at(7);
    ck_assert_uint_eq(limit(), 0);
    simulation->now += SESSION_LIMIT_NS - SECOND;
    ended_at(7);
    ck_assert_uint_eq(limit(), 7);
}
END_TEST

START_TEST(after_an_hour_it_is_found_out_anew)
{
    session_limit_learn(table, "primary", 20, SESSION_LIMIT_SAID);
    simulation->now += SESSION_LIMIT_NS - SECOND;
    ck_assert_uint_eq(limit(), 20);
    simulation->now += SECOND;
    ck_assert_uint_eq(limit(), 0);
    session_limit_learn(table, "primary", 30, SESSION_LIMIT_SAID);
    ck_assert_uint_eq(limit(), 30);
}
END_TEST

START_TEST(none_and_too_many_are_no_limit)
{
    session_limit_learn(table, "primary", 0, SESSION_LIMIT_SAID);
    session_limit_learn(table, "primary", 70000, SESSION_LIMIT_SAID);
    ck_assert_uint_eq(limit(), 0);
}
END_TEST

UNIT_SUITE(session_limit_suite)
{
    Suite *suite = suite_create("session_limit");
    TCase *tcase = tcase_create("session_limit");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_said_counts_at_once_and_the_smallest_holds);
    tcase_add_test(tcase, sessions_that_end_here_and_there_have_no_limit);
    tcase_add_test(tcase, two_that_end_alike_within_the_hour_have);
    tcase_add_test(tcase, after_an_hour_it_is_found_out_anew);
    tcase_add_test(tcase, none_and_too_many_are_no_limit);
    suite_add_tcase(suite, tcase);
    return suite;
}
