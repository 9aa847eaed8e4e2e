#include "policy/warm_up.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "simulation.h"
#include "suites.h"

#define DAY_MS INT64_C(86400000)
#define START (INT64_C(20000) * DAY_MS)

static struct simulation *simulation;
static struct rate_table *table;
static uint32_t days[] = {50, 100, 250}, gmail_days[] = {20, 40};
static struct config_tpsp *tpsp;

static void setup(void)
{
    simulation = simulation_begin();
    table = simulation_table(simulation);
    tpsp = &simulation->tpsp;
    *tpsp = (struct config_tpsp){.name = (char *)"primary",
                                 .warm_up = {.given = true, .start_ms = START, .plan = {days, 3}}};
    tpsp->warm_up.providers[PROVIDER_GMAIL] = (struct config_plan){gmail_days, 2};
}

static void teardown(void)
{
    rate_table_close(table);
    simulation_end(simulation);
}

/* The limit of that day; 0: none. */
static uint32_t limit_on(const char *provider, int64_t now_ms)
{
    struct warm_up_view view;

    return warm_up_look(table, tpsp, provider, now_ms, &view) ? view.limit : 0;
}

START_TEST(it_begins_on_its_date)
{
    ck_assert_uint_eq(limit_on(NULL, START - 1), 0);
    ck_assert_uint_eq(limit_on(NULL, START), 50);
}
END_TEST

START_TEST(a_day_counts_when_something_was_accepted_and_the_last_ends_it)
{
    ck_assert_uint_eq(limit_on(NULL, START), 50);
    ck_assert_uint_eq(limit_on(NULL, START + 3 * DAY_MS), 50); /* nothing was sent */
    warm_up_accepted(table, tpsp, NULL, START + 3 * DAY_MS + 1);
    ck_assert_uint_eq(limit_on(NULL, START + 4 * DAY_MS - 1), 50);
    ck_assert_uint_eq(limit_on(NULL, START + 4 * DAY_MS), 100);
    warm_up_accepted(table, tpsp, NULL, START + 4 * DAY_MS + 1);
    ck_assert_uint_eq(limit_on(NULL, START + 9 * DAY_MS), 250); /* a jump of the clock is one day */
    warm_up_accepted(table, tpsp, NULL, START + 9 * DAY_MS);
    ck_assert_uint_eq(limit_on(NULL, START + 10 * DAY_MS), 0);
    ck_assert_uint_eq(limit_on(NULL, START + 11 * DAY_MS), 0);
}
END_TEST

START_TEST(a_day_of_bad_statistics_does_not_count)
{
    warm_up_accepted(table, tpsp, NULL, START);
    warm_up_hold(table, tpsp, NULL, START + 1);
    ck_assert_uint_eq(limit_on(NULL, START + DAY_MS), 50);
    warm_up_accepted(table, tpsp, NULL, START + DAY_MS);
    ck_assert_uint_eq(limit_on(NULL, START + 2 * DAY_MS), 100);
}
END_TEST

START_TEST(a_clock_that_goes_back_makes_no_day)
{
    warm_up_accepted(table, tpsp, NULL, START + 5 * DAY_MS);
    ck_assert_uint_eq(limit_on(NULL, START + 4 * DAY_MS), 50);
    ck_assert_uint_eq(limit_on(NULL, START + 5 * DAY_MS), 50);
    ck_assert_uint_eq(limit_on(NULL, START + 6 * DAY_MS), 100);
}
END_TEST

/* A board without a battery, a wrong hand at the clock: one message was accepted ten years from now. */
START_TEST(a_clock_that_was_years_ahead_does_not_stop_the_plan)
{
    warm_up_accepted(table, tpsp, NULL, START);
    warm_up_accepted(table, tpsp, NULL, START + 3650 * DAY_MS);
    ck_assert_uint_eq(limit_on(NULL, START + DAY_MS), 100);
    ck_assert_uint_eq(limit_on(NULL, START + 2 * DAY_MS), 100); /* what was accepted then makes no day now */
    warm_up_accepted(table, tpsp, NULL, START + 2 * DAY_MS);
    ck_assert_uint_eq(limit_on(NULL, START + 3 * DAY_MS), 250);
}
END_TEST

START_TEST(providers_have_plans_of_their_own)
{
    warm_up_accepted(table, tpsp, NULL, START);
    ck_assert_uint_eq(limit_on("gmail", START + DAY_MS), 20);
    ck_assert_uint_eq(limit_on(NULL, START + DAY_MS), 100);
    ck_assert_uint_eq(limit_on("yahoo", START), 0);
}
END_TEST

START_TEST(it_outlives_processes_and_reboots)
{
    warm_up_accepted(table, tpsp, NULL, START);
    ck_assert_uint_eq(limit_on(NULL, START + DAY_MS), 100);
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_store(&simulation->now, SECOND);
    table = simulation_table(simulation);
    ck_assert_uint_eq(limit_on(NULL, START + DAY_MS), 100);
}
END_TEST

START_TEST(the_number_of_the_day_is_a_limit_of_any_24_hours)
{
    const struct rate_limit *limit;
    struct rate_grant grant;
    struct rate_set set;
    struct outcome error;
    unsigned taken = 0;
    int64_t next;

    days[0] = 5;
    ck_assert(rate_set_init(&set, tpsp, PROVIDER_YAHOO, 10, &error));
    warm_up_apply(table, &set, 10, false, START);
    ck_assert_uint_eq(set.count, 1);
    while (rate_limit_take(table, &set, &grant, &limit, &next, &error) == RATE_GRANTED)
        taken++;
    ck_assert_uint_eq(taken, 5);
    rate_limit_explain("primary", limit, next - atomic_load(&simulation->now), &error);
    ck_assert_str_eq(error.text, "rate limit of TPSP primary: 5/d, warm-up, reached, next slot in 86400 s");
    days[0] = 50;
}
END_TEST

/* --- the end ------------------------------------------------------------------------------------------- */

/* A message is accepted by a process of its own, which writes what it says to this file. */
static pid_t begin_mail(const char *log, int64_t now_ms)
{
    pid_t child = fork();

    if (child == 0) {
        setenv("SENDPOST_LOG_FILE", log, 1);
        log_open("pipe", false);
        warm_up_accepted(simulation_table(simulation), tpsp, NULL, now_ms);
        _exit(0);
    }
    return child;
}

static void mail(const char *log, int64_t now_ms, int processes)
{
    pid_t children[16];
    int status;

    for (int i = 0; i < processes; i++)
        children[i] = begin_mail(log, now_ms);
    for (int i = 0; i < processes; i++)
        ck_assert(waitpid(children[i], &status, 0) == children[i] && status == 0);
}

static void last_day_passes(void)
{
    for (int day = 0; day < 3; day++)
        warm_up_accepted(table, tpsp, NULL, START + day * DAY_MS);
}

static int times_said(const char *log)
{
    char line[512];
    int times = 0;
    FILE *stream = fopen(log, "r");

    while (stream != NULL && fgets(line, sizeof line, stream) != NULL)
        times += strstr(line, "tpsp=primary, provider=all: warm-up is over after 3 days") != NULL;
    if (stream != NULL)
        fclose(stream);
    return times;
}

START_TEST(its_end_is_said_once_by_all_processes_and_not_to_who_looks)
{
    char log[128];

    snprintf(log, sizeof log, "%s/log", simulation->dir);
    last_day_passes();
    ck_assert_uint_eq(limit_on(NULL, START + 3 * DAY_MS), 0);
    mail(log, START + 3 * DAY_MS, 16);
    ck_assert_int_eq(times_said(log), 1);
    mail(log, START + 4 * DAY_MS, 2);
    rate_table_close(table);
    snprintf(simulation->boot_id, sizeof simulation->boot_id, "boot-2");
    atomic_store(&simulation->now, SECOND);
    table = simulation_table(simulation);
    mail(log, START + 5 * DAY_MS, 2);
    ck_assert_int_eq(times_said(log), 1);
    unlink(log);
}
END_TEST

/* A log that takes nothing holds the process up where it is about to say it. */
START_TEST(who_is_killed_as_he_says_it_leaves_it_to_the_next)
{
    char full[128], log[128];
    struct rate_key key;
    int status;

    snprintf(full, sizeof full, "%s/full", simulation->dir);
    snprintf(log, sizeof log, "%s/log", simulation->dir);
    ck_assert_int_eq(mkfifo(full, 0600), 0);
    int fifo = open(full, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    while (write(fifo, full, 1) == 1)
        ;
    last_day_passes();
    pid_t killed = begin_mail(full, START + 3 * DAY_MS);
    rate_key_set(&key, "primary", "warmed up all", RATE_WINDOW_KEPT);
    const struct rate_entry *entry = rate_table_find(table, &key);
    while (atomic_load(&entry->words[1]) == 0)
        usleep(1000);
    mail(log, START + 3 * DAY_MS, 2);
    ck_assert_int_eq(times_said(log), 0); /* somebody is at it */
    kill(killed, SIGKILL);
    ck_assert_int_eq(waitpid(killed, &status, 0), killed);
    ck_assert(WIFSIGNALED(status));
    atomic_fetch_add(&simulation->now, 11 * SECOND);
    mail(log, START + 3 * DAY_MS, 2);
    mail(log, START + 3 * DAY_MS, 2);
    ck_assert_int_eq(times_said(log), 1);
    close(fifo);
    unlink(full);
    unlink(log);
}
END_TEST

UNIT_SUITE(warm_up_suite)
{
    Suite *suite = suite_create("warm_up");
    TCase *tcase = tcase_create("warm_up");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_begins_on_its_date);
    tcase_add_test(tcase, a_day_counts_when_something_was_accepted_and_the_last_ends_it);
    tcase_add_test(tcase, a_day_of_bad_statistics_does_not_count);
    tcase_add_test(tcase, a_clock_that_goes_back_makes_no_day);
    tcase_add_test(tcase, a_clock_that_was_years_ahead_does_not_stop_the_plan);
    tcase_add_test(tcase, providers_have_plans_of_their_own);
    tcase_add_test(tcase, it_outlives_processes_and_reboots);
    tcase_add_test(tcase, the_number_of_the_day_is_a_limit_of_any_24_hours);
    tcase_add_test(tcase, its_end_is_said_once_by_all_processes_and_not_to_who_looks);
    tcase_add_test(tcase, who_is_killed_as_he_says_it_leaves_it_to_the_next);
    suite_add_tcase(suite, tcase);
    return suite;
}
