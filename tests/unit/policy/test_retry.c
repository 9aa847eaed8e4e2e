#include "policy/retry.h"

#include <string.h>

#include "base/clock.h"
#include "suites.h"
#include "temporary_store.h"

#define HOUR 3600000ll
#define START 1800000000000ll

static int64_t schedule[] = {1 * HOUR, 2 * HOUR, 3 * HOUR};
static struct config config = {.retry = {.schedule_ms = schedule, .schedule_count = 3}};
static const struct retry_key key = {"4bXyz", "user@example.com", "11111111-1111-4111-8111-111111111111"};

static struct outcome refused(void)
{
    struct outcome outcome;

    outcome_set(&outcome, OUTCOME_DEFERRED, CAUSE_MESSAGE, 421, "4.3.2", "4.3.2 shutting down");
    return outcome;
}

/* Fail at now; what became of the outcome. */
static struct outcome failed_at(const struct retry_key *which, int64_t now_ms)
{
    struct outcome outcome = refused();

    ck_assert_msg(retry_failed(store, &config, which, "me@example.com", "primary", now_ms, &outcome, &error),
                  "%s", error.text);
    return outcome;
}

static bool due(const struct retry_key *which, int64_t now_ms, int attempts)
{
    struct retry_past past;
    bool is_due = retry_due(store, &config, which, now_ms, &past, &error);

    ck_assert_int_eq(past.attempts, attempts);
    ck_assert(is_due || (error.class == OUTCOME_DEFERRED && error.cause == CAUSE_POLICY));
    return is_due;
}

START_TEST(only_a_verdict_and_silence_of_the_tpsp_are_attempts)
{
    static const struct {
        enum outcome_class class;
        enum outcome_cause cause;
        bool counts;
    } cases[] = {
        {OUTCOME_DEFERRED, CAUSE_UNREACHABLE, true}, {OUTCOME_DEFERRED, CAUSE_MESSAGE, true},
        {OUTCOME_DEFERRED, CAUSE_ACCOUNT, false},    {OUTCOME_DEFERRED, CAUSE_HOST, false},
        {OUTCOME_DEFERRED, CAUSE_SESSION, false},    {OUTCOME_DEFERRED, CAUSE_IN_DOUBT, true},
        {OUTCOME_DEFERRED, CAUSE_OURS, false},       {OUTCOME_DEFERRED, CAUSE_RATE, false},
        {OUTCOME_DEFERRED, CAUSE_POLICY, false},     {OUTCOME_DROPPED, CAUSE_MESSAGE, false},
        {OUTCOME_DELIVERED, CAUSE_NONE, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome outcome = {.class = cases[i].class, .cause = cases[i].cause};
        ck_assert_int_eq(retry_counts(&outcome), cases[i].counts);
    }
}
END_TEST

START_TEST(each_failure_waits_for_its_step_and_the_last_one_drops)
{
    int64_t now_ms = START;

    ck_assert(due(&key, now_ms, 0));
    for (int step = 0; step < 3; step++) {
        ck_assert_int_eq(failed_at(&key, now_ms).class, OUTCOME_DEFERRED);
        ck_assert(!due(&key, now_ms, step + 1));
        ck_assert(!due(&key, now_ms + schedule[step] - 1, step + 1));
        now_ms += schedule[step];
        ck_assert(due(&key, now_ms, step + 1));
    }
    struct outcome last = failed_at(&key, now_ms);
    ck_assert_int_eq(last.class, OUTCOME_DROPPED);
    ck_assert_int_eq(last.cause, CAUSE_POLICY);
    ck_assert_int_eq(last.smtp_code, 421);
    ck_assert_str_eq(last.enhanced, "5.4.7");
    ck_assert_msg(strstr(last.text, "4 attempts since 2027-01-15T08:00:00.000Z") != NULL, "%s", last.text);
    ck_assert_msg(strstr(last.text, "shutting down") != NULL, "%s", last.text);
    ck_assert(due(&key, now_ms, 0)); /* nothing is left of it */
}
END_TEST

START_TEST(too_early_says_when_and_why)
{
    failed_at(&key, START);
    ck_assert(!due(&key, START + 1, 1));
    ck_assert_msg(strcmp(error.text, "not due before 2027-01-15T09:00:00.000Z; attempt 1 of 4 failed: "
                                     "421 4.3.2 shutting down") == 0,
                  "%s", error.text);
    ck_assert_str_eq(error.enhanced, "4.3.2");
}
END_TEST

START_TEST(recipients_of_one_message_climb_alone)
{
    struct retry_key other = key;

    other.recipient = "other@example.com";
    failed_at(&key, START);
    ck_assert(!due(&key, START, 1));
    ck_assert(due(&other, START, 0));
}
END_TEST

START_TEST(a_queue_id_that_is_used_again_starts_anew)
{
    struct retry_key reused = key;

    reused.uuid = "22222222-2222-4222-8222-222222222222";
    for (int i = 0; i < 3; i++)
        failed_at(&key, START);
    ck_assert(due(&reused, START, 0));
    ck_assert_int_eq(failed_at(&reused, START).class, OUTCOME_DEFERRED);
    ck_assert(!due(&reused, START, 1));
}
END_TEST

START_TEST(what_is_through_is_forgotten)
{
    failed_at(&key, START);
    ck_assert(retry_forget(store, &key, &error));
    ck_assert(due(&key, START, 0));
}
END_TEST

START_TEST(without_a_queue_id_or_a_schedule_there_is_no_ladder)
{
    struct retry_key without = key;
    struct config none = {0};
    struct outcome outcome = refused();
    struct retry_past past;

    without.queue_id = "";
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(failed_at(&without, START).class, OUTCOME_DEFERRED);
        ck_assert(retry_failed(store, &none, &key, "", "", START, &outcome, &error));
    }
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert(due(&without, START, 0));
    ck_assert(retry_due(store, &none, &key, START, &past, &error));
    ck_assert_int_eq(past.attempts, 0);
}
END_TEST

START_TEST(a_clock_that_was_set_back_strands_no_message)
{
    failed_at(&key, START);
    ck_assert(due(&key, START - 1000 * HOUR, 1));
    ck_assert(!due(&key, START - 1 * HOUR, 1)); /* a small step only makes it wait longer */
}
END_TEST

START_TEST(the_postmaster_can_make_it_due_now)
{
    struct retry_key other = key;
    int64_t now_ms = clock_realtime_ms(); /* "now" is the clock's */

    other.recipient = "other@example.com";
    failed_at(&key, now_ms);
    failed_at(&other, now_ms);
    ck_assert(!due(&key, now_ms, 1));
    ck_assert_int_eq(retry_now(store, key.queue_id, &error), 2);
    ck_assert_int_eq(retry_now(store, "unknown", &error), 0);
    ck_assert(due(&key, clock_realtime_ms(), 1));
    ck_assert(due(&other, clock_realtime_ms(), 1));
}
END_TEST

START_TEST(a_message_that_is_held_climbs_nothing_and_is_listed)
{
    struct retry_past past;
    struct outcome trouble;

    failed_at(&key, START);
    outcome_local(&trouble, "4.7.0", "Auth rejected");
    for (int i = 1; i < 30; i++) {
        ck_assert(retry_due(store, &config, &key, START + i * HOUR, &past, &error));
        ck_assert(
            retry_held(store, &key, &past, "me@example.com", "primary", START + i * HOUR, &trouble, &error));
    }
    ck_assert(retry_due(store, &config, &key, START + 30 * HOUR, &past, &error));
    ck_assert(past.listed && past.held);
    ck_assert_int_eq(past.attempts, 1);
    ck_assert_int_eq(failed_at(&key, START + 30 * HOUR).class, OUTCOME_DEFERRED);
    ck_assert(!retry_due(store, &config, &key, START + 30 * HOUR, &past, &error));
    ck_assert(!past.held);
    ck_assert_int_eq(past.attempts, 2);
}
END_TEST

START_TEST(records_that_nobody_touches_are_swept)
{
    char recipient[32];
    struct retry_key old = {"old", recipient, key.uuid};
    sqlite3_stmt *count;

    for (int i = 0; i < 25; i++) {
        snprintf(recipient, sizeof recipient, "user%d@example.com", i);
        failed_at(&old, START);
    }
    for (int i = 0; i < 3; i++) /* ten at a time */
        failed_at(&key, START + 41 * 24 * HOUR);
    count = store_statement(store, "SELECT count(*) FROM deliveries", &error);
    ck_assert_ptr_nonnull(count);
    ck_assert_int_eq(store_step(store, count, &error), 1);
    ck_assert_int_eq(sqlite3_column_int(count, 0), 1);
    sqlite3_reset(count);
}
END_TEST

START_TEST(a_broken_store_defers_and_says_so)
{
    struct retry_past past;

    ck_assert_int_eq(sqlite3_exec(store_handle(store), "DROP TABLE deliveries", NULL, NULL, NULL), SQLITE_OK);
    ck_assert(!retry_due(store, &config, &key, START, &past, &error));
    ck_assert_int_eq(error.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(error.cause, CAUSE_OURS);
}
END_TEST

UNIT_SUITE(retry_suite)
{
    Suite *suite = suite_create("retry");
    TCase *tcase = tcase_create("retry");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, only_a_verdict_and_silence_of_the_tpsp_are_attempts);
    tcase_add_test(tcase, each_failure_waits_for_its_step_and_the_last_one_drops);
    tcase_add_test(tcase, too_early_says_when_and_why);
    tcase_add_test(tcase, recipients_of_one_message_climb_alone);
    tcase_add_test(tcase, a_queue_id_that_is_used_again_starts_anew);
    tcase_add_test(tcase, what_is_through_is_forgotten);
    tcase_add_test(tcase, without_a_queue_id_or_a_schedule_there_is_no_ladder);
    tcase_add_test(tcase, a_clock_that_was_set_back_strands_no_message);
    tcase_add_test(tcase, the_postmaster_can_make_it_due_now);
    tcase_add_test(tcase, a_message_that_is_held_climbs_nothing_and_is_listed);
    tcase_add_test(tcase, records_that_nobody_touches_are_swept);
    tcase_add_test(tcase, a_broken_store_defers_and_says_so);
    suite_add_tcase(suite, tcase);
    return suite;
}
