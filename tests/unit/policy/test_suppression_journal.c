#include "policy/suppression_journal.h"

#include <string.h>

#include "suites.h"
#include "temporary_store.h"

#define WHEN 4000000000000 /* later than whatever is changed here meanwhile */

static int64_t seen;
static struct suppression_change changes[10];

static struct suppression_change change(const char *address, bool removed, int64_t changed_ms,
                                        const char *origin, bool heard)
{
    struct suppression_change made = {
        .entry.since_ms = 1, .removed = removed, .changed_ms = changed_ms, .heard = heard};

    snprintf(made.entry.address, sizeof made.entry.address, "%s", address);
    snprintf(made.origin, sizeof made.origin, "%s", origin);
    return made;
}

static int apply(const char *address, bool removed, int64_t changed_ms, const char *origin, bool heard)
{
    struct suppression_change made = change(address, removed, changed_ms, origin, heard);

    return suppression_journal_apply(store, &made, "m", &error);
}

static void add(const char *address)
{
    struct suppression entry = {.since_ms = 1};

    snprintf(entry.address, sizeof entry.address, "%s", address);
    ck_assert(suppression_add(store, &entry, &error));
}

/* The addresses of the changes behind after, one behind the other. */
static const char *addresses(int64_t after, enum suppression_scope scope, int limit)
{
    static char text[200];
    int count = suppression_journal_read(store, after, scope, limit, changes, &seen, &error);

    ck_assert_int_ge(count, 0);
    *text = '\0';
    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", changes[i].entry.address);
    return text;
}

START_TEST(nobody_is_told_what_he_has_told)
{
    add("here@a.example");
    ck_assert_int_eq(apply("host@a.example", false, WHEN, "h", true), 1);
    ck_assert_int_eq(apply("there@a.example", false, WHEN, SUPPRESSION_ORIGIN_SENDPOST, false), 1);
    ck_assert_int_eq(apply("theirs@a.example", false, WHEN, SUPPRESSION_ORIGIN_SENDPOST, true), 1);
    ck_assert_str_eq(addresses(0, SUPPRESSION_FOR_SENDPOST, 10), "here@a.example host@a.example ");
    ck_assert_str_eq(addresses(0, SUPPRESSION_FOR_CLUSTER, 10), "here@a.example there@a.example ");
    ck_assert_str_eq(addresses(0, SUPPRESSION_FOR_ANYBODY, 10),
                     "here@a.example host@a.example there@a.example theirs@a.example ");
}
END_TEST

START_TEST(what_is_passed_over_is_not_looked_at_again)
{
    for (char address[] = "a@a.example"; *address <= 'e'; ++*address)
        apply(address, false, WHEN, SUPPRESSION_ORIGIN_SENDPOST, true);
    ck_assert_str_eq(addresses(0, SUPPRESSION_FOR_SENDPOST, 10), "");
    int64_t end = seen;
    ck_assert_int_gt(end, 4);
    add("x@a.example");
    add("y@a.example");
    ck_assert_str_eq(addresses(end, SUPPRESSION_FOR_SENDPOST, 1), "x@a.example ");
    ck_assert_int_eq(seen, changes[0].sequence);
    ck_assert_str_eq(addresses(seen, SUPPRESSION_FOR_SENDPOST, 10), "y@a.example ");
    ck_assert_str_eq(addresses(seen, SUPPRESSION_FOR_SENDPOST, 10), "");
}
END_TEST

/* One that was made here is known to the others by the name of this host, "m": of two changes in one
 * millisecond all hosts take the same one. */
START_TEST(the_later_change_counts_and_of_two_at_once_that_of_the_greater_name)
{
    add("a@a.example");
    addresses(0, SUPPRESSION_FOR_ANYBODY, 10);
    int64_t at = changes[0].changed_ms;
    ck_assert_int_eq(apply("a@a.example", true, at - 1, "z", true), 0);
    ck_assert_int_eq(apply("a@a.example", true, at, "l", true), 0);
    ck_assert_int_eq(apply("a@a.example", true, at, "n", true), 1);
    ck_assert_int_eq(apply("a@a.example", false, at, "n", true), 0);
    ck_assert_int_eq(apply("a@a.example", false, at + 1, "a", true), 1);
}
END_TEST

/* How an address comes to the list again after it was taken off it. */
static void again(const char *address, int how)
{
    struct config config = {.suppression.on_hard_bounce = true};

    if (how == 0)
        add(address);
    else if (how == 1)
        ck_assert_int_eq(suppression_after_hard_bounce(store, &config, address, 1, &error), 1);
    else
        ck_assert_int_eq(suppression_after_complaint(store, &config, address, 1, &error), 1);
}

START_TEST(what_comes_to_the_list_again_is_told_again)
{
    add("a@a.example");
    ck_assert_int_eq(suppression_remove(store, "a@a.example", 0, &error), 1);
    ck_assert_str_eq(addresses(0, SUPPRESSION_FOR_CLUSTER, 10), "a@a.example ");
    ck_assert(changes[0].removed);
    int64_t end = seen;
    again("a@a.example", _i);
    ck_assert_str_eq(addresses(end, SUPPRESSION_FOR_CLUSTER, 10), "a@a.example ");
    ck_assert(!changes[0].removed);
}
END_TEST

START_TEST(whether_an_address_is_held_for_a_reason)
{
    struct suppression_change made = change("a@a.example", false, WHEN, "h", true);

    ck_assert_int_eq(suppression_journal_holds(store, &made.entry, &error), 0);
    ck_assert_int_eq(suppression_journal_apply(store, &made, "m", &error), 1);
    ck_assert_int_eq(suppression_journal_holds(store, &made.entry, &error), 1);
    made.entry.reason = SUPPRESSION_SPAM_COMPLAINT;
    ck_assert_int_eq(suppression_journal_holds(store, &made.entry, &error), 0);
    ck_assert_int_eq(apply("a@a.example", true, WHEN + 1, "h", true), 1);
    made.entry.reason = SUPPRESSION_MANUAL;
    ck_assert_int_eq(suppression_journal_holds(store, &made.entry, &error), 0);
}
END_TEST

START_TEST(each_change_of_others_is_found_behind_those_before_it)
{
    apply("a@a.example", false, WHEN, "h", true);
    apply("b@a.example", false, WHEN, "h", true);
    addresses(0, SUPPRESSION_FOR_ANYBODY, 10);
    int64_t end = seen;
    ck_assert_int_eq(apply("b@a.example", true, WHEN + 1, "i", true), 1);
    ck_assert_int_eq(apply("unknown@a.example", true, WHEN + 1, "i", true), 1);
    ck_assert_int_eq(apply("a@a.example", false, WHEN + 1, "i", true), 1);
    ck_assert_str_eq(addresses(end, SUPPRESSION_FOR_ANYBODY, 10),
                     "b@a.example unknown@a.example a@a.example ");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(changes[i].removed, i < 2);
        ck_assert(changes[i].heard && changes[i].changed_ms == WHEN + 1);
        ck_assert_str_eq(changes[i].origin, "i");
    }
}
END_TEST

UNIT_SUITE(suppression_journal_suite)
{
    Suite *suite = suite_create("suppression_journal");
    TCase *tcase = tcase_create("suppression_journal");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, nobody_is_told_what_he_has_told);
    tcase_add_test(tcase, what_is_passed_over_is_not_looked_at_again);
    tcase_add_test(tcase, the_later_change_counts_and_of_two_at_once_that_of_the_greater_name);
    tcase_add_loop_test(tcase, what_comes_to_the_list_again_is_told_again, 0, 3);
    tcase_add_test(tcase, whether_an_address_is_held_for_a_reason);
    tcase_add_test(tcase, each_change_of_others_is_found_behind_those_before_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
