#include "event/event_pace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/event_watch.h"
#include "suites.h"
#include "temporary_store.h"

static struct config config;
static int watch;

static void open_all(void)
{
    temporary_store_open();
    config = (struct config){.state_dir = temporary_directory,
                             .endpoint = (char *)"http://127.0.0.1:9/",
                             .report = {.patience_ms = 1000}};
    watch = event_watch_begin(temporary_directory, &error);
    ck_assert_int_ge(watch, 0);
    event_watch_succeeded(watch);
}

static void close_all(void)
{
    if (watch >= 0)
        close(watch);
    temporary_store_close();
}

static struct event_pace pace(void)
{
    return event_pace_read(store, "endpoint");
}

static void answers(int count, int64_t elapsed_ms)
{
    for (int i = 0; i < count; i++) {
        struct event_pace known = pace();
        ck_assert(event_pace_learn(&known, &config, store, "endpoint", elapsed_ms, &error));
    }
}

static bool leaves(int64_t now_ms)
{
    struct event_pace known = pace();

    return event_pace_leaves(&known, &config, store, "endpoint", now_ms);
}

/* Just before the next probe is due. */
static bool leaves_before_probe(void)
{
    return leaves(pace().probe_ms - 1);
}

START_TEST(quick_answers_write_nothing)
{
    int before = sqlite3_total_changes(store_handle(store));

    answers(5, 500);
    ck_assert_int_eq(sqlite3_total_changes(store_handle(store)), before);
    ck_assert(!leaves(clock_realtime_ms()));
}
END_TEST

START_TEST(three_slow_answers_begin_it_and_two_quick_ones_end_it)
{
    answers(2, 8000);
    ck_assert(!leaves_before_probe());
    answers(1, 8000);
    ck_assert(leaves_before_probe());
    answers(5, 8000);
    answers(1, 100);
    ck_assert(leaves_before_probe());
    answers(1, 100);
    ck_assert(!leaves_before_probe());
    answers(20, 0);
    ck_assert_int_eq(pace().average_ms, 0);
}
END_TEST

START_TEST(three_seconds_after_an_answer_one_asks_again)
{
    struct event_pace known;

    answers(9, 1500);
    int64_t now_ms = clock_realtime_ms();
    known = pace();
    ck_assert(!event_pace_expects(&known, &config, known.probe_ms - 1));
    ck_assert(leaves(known.probe_ms - 1));
    ck_assert(leaves(known.probe_ms - 3500)); /* somebody looked at the clock before the answer came */
    ck_assert(event_pace_expects(&known, &config, known.probe_ms));
    ck_assert(!leaves(known.probe_ms));
    ck_assert(leaves(known.probe_ms));
    ck_assert(leaves(now_ms + 3000));
    ck_assert(!leaves(now_ms - 10000)); /* the clock was put back */
}
END_TEST

START_TEST(nothing_is_left_to_an_agent_that_does_not_run_or_does_not_succeed)
{
    answers(9, 1500);
    int64_t now_ms = pace().probe_ms - 3000; /* of the last answer */
    ck_assert(leaves(now_ms));
    ck_assert(!leaves(now_ms + 61000)); /* for it did not report lately */
    ck_assert(!event_watch_is_kept(temporary_directory, now_ms + 61000));
    ck_assert(!event_watch_is_kept(temporary_directory, now_ms - 61000));
    ck_assert_int_lt(event_watch_begin(temporary_directory, &error), 0); /* one at a time */
    close(watch);
    watch = -1;
    ck_assert(!event_watch_is_kept(temporary_directory, now_ms));
    ck_assert(!leaves(now_ms + 63000));
}
END_TEST

UNIT_SUITE(event_pace_suite)
{
    Suite *suite = suite_create("event_pace");
    TCase *tcase = tcase_create("event_pace");

    tcase_add_checked_fixture(tcase, open_all, close_all);
    tcase_add_test(tcase, quick_answers_write_nothing);
    tcase_add_test(tcase, three_slow_answers_begin_it_and_two_quick_ones_end_it);
    tcase_add_test(tcase, three_seconds_after_an_answer_one_asks_again);
    tcase_add_test(tcase, nothing_is_left_to_an_agent_that_does_not_run_or_does_not_succeed);
    suite_add_tcase(suite, tcase);
    return suite;
}
