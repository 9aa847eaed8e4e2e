/* Changes of others, gathered and applied in another order than that in which they came. */
#include "policy/suppression_intake.h"

#include <string.h>

#include "base/clock.h"
#include "suites.h"
#include "temporary_store.h"

#define WHEN 4000000000000 /* later than whatever is changed here meanwhile */
#define MANY 20000         /* more than fit into one turn */

static struct suppression_intake intake;
static uint64_t counted;

static void setup(void)
{
    temporary_store_open();
    intake = (struct suppression_intake){0};
    counted = 0;
}

static void teardown(void)
{
    suppression_intake_clear(&intake);
    temporary_store_close();
}

static void put(const char *address, bool removed, int64_t changed_ms)
{
    struct suppression_change change = {
        .entry.since_ms = 1, .removed = removed, .changed_ms = changed_ms, .origin = "h"};

    snprintf(change.entry.address, sizeof change.entry.address, "%s", address);
    suppression_intake_put(&intake, &change);
}

static int is_listed(const char *address)
{
    struct suppression found;

    return suppression_find(store, address, 0, &found, &error);
}

static bool apply(int64_t deadline_ms)
{
    return suppression_intake_apply(&intake, store, "m", deadline_ms, &counted, &error);
}

START_TEST(of_two_changes_of_one_address_the_later_counts_whichever_came_first)
{
    put("z@a.example", false, WHEN);
    put("b@a.example", true, WHEN + 1);
    put("b@a.example", false, WHEN);
    put("a@a.example", false, WHEN);
    put("a@a.example", true, WHEN + 1);
    put("c@a.example", true, WHEN);
    put("c@a.example", false, WHEN + 1);
    ck_assert(apply(INT64_MAX));
    ck_assert_int_eq(is_listed("a@a.example"), 0);
    ck_assert_int_eq(is_listed("b@a.example"), 0);
    ck_assert_int_eq(is_listed("c@a.example"), 1);
    ck_assert_int_eq(is_listed("z@a.example"), 1);
    ck_assert_uint_eq(counted, 6); /* all but the addition of b, which came too late */
    ck_assert_uint_eq(intake.count, 0);
}
END_TEST

START_TEST(nobody_is_told_again_what_the_cluster_knows)
{
    struct suppression_change changes[2];
    int64_t seen;

    put("a@a.example", false, WHEN);
    ck_assert(apply(INT64_MAX));
    ck_assert_int_eq(suppression_journal_read(store, 0, SUPPRESSION_FOR_CLUSTER, 2, changes, &seen, &error),
                     0);
    ck_assert_int_eq(suppression_journal_read(store, 0, SUPPRESSION_FOR_ANYBODY, 2, changes, &seen, &error),
                     1);
}
END_TEST

START_TEST(what_does_not_fit_into_the_time_is_applied_the_next_time)
{
    char address[40];

    for (int i = 0; i < MANY; i++) {
        snprintf(address, sizeof address, "u%d@a.example", i * 7919 % MANY);
        put(address, false, WHEN);
    }
    ck_assert(apply(0));
    ck_assert_uint_gt(counted, 0);
    ck_assert_uint_lt(counted, MANY);
    ck_assert_uint_eq(intake.count, MANY);
    ck_assert_uint_eq(intake.applied, counted);
    ck_assert(!store_in_transaction(store));
    ck_assert(apply(INT64_MAX));
    ck_assert_uint_eq(counted, MANY);
    ck_assert_uint_eq(intake.count, 0);
}
END_TEST

START_TEST(what_cannot_be_written_stays_for_another_time)
{
    put("a@a.example", false, WHEN);
    put("b@a.example", false, WHEN);
    sqlite3_exec(store_handle(store),
                 "CREATE TEMP TRIGGER no BEFORE INSERT ON suppression WHEN new.address = 'b@a.example'"
                 " BEGIN SELECT raise(ABORT, 'no'); END",
                 NULL, NULL, NULL);
    ck_assert(!apply(INT64_MAX));
    ck_assert_int_eq(is_listed("a@a.example"), 0);
    sqlite3_exec(store_handle(store), "DROP TRIGGER no", NULL, NULL, NULL);
    ck_assert(apply(INT64_MAX));
    ck_assert_uint_eq(counted, 2);
    ck_assert_int_eq(is_listed("b@a.example"), 1);
}
END_TEST

UNIT_SUITE(suppression_intake_suite)
{
    Suite *suite = suite_create("suppression_intake");
    TCase *tcase = tcase_create("suppression_intake");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, of_two_changes_of_one_address_the_later_counts_whichever_came_first);
    tcase_add_test(tcase, nobody_is_told_again_what_the_cluster_knows);
    tcase_add_test(tcase, what_does_not_fit_into_the_time_is_applied_the_next_time);
    tcase_add_test(tcase, what_cannot_be_written_stays_for_another_time);
    suite_add_tcase(suite, tcase);
    return suite;
}
