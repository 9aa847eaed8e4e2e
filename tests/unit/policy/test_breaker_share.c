#include "policy/breaker_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulation.h"
#include "suites.h"

#define AHEAD_US INT64_C(1700000000000000)
#define HOST INT64_C(0x7fffffffffffff01) /* a hash has all its bits */
#define OTHER INT64_MIN

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

static struct breaker_words words(void)
{
    struct breaker_words now;

    breaker_words(table, "primary", &now);
    return now;
}

static void hear(const struct breaker_words *told, bool merge, int64_t ahead_us)
{
    struct breaker_words before = words();
    char *text = NULL;
    size_t size = 0;

    FILE *out = open_memstream(&text, &size);
    breaker_write(told, ahead_us, out);
    fclose(out);
    breaker_read(table, "primary", &before, merge, AHEAD_US, text);
    free(text);
}

static struct breaker_words open_for(int64_t time)
{
    return (struct breaker_words){.word = breaker_pack(simulation->now + time, BREAKER_THRESHOLD),
                                  .changed_ns = simulation->now - SECOND,
                                  .tries = HOST,
                                  .suspect = OTHER,
                                  .suspect_until_ns = simulation->now + MINUTE};
}

START_TEST(what_is_written_is_read)
{
    struct breaker_words told = open_for(MINUTE);

    hear(&told, false, AHEAD_US);
    struct breaker_words heard = words();
    ck_assert_int_eq(heard.word, told.word);
    ck_assert_int_eq(heard.changed_ns, told.changed_ns);
    ck_assert_int_eq(heard.tries, HOST);
    ck_assert_int_eq(heard.suspect, OTHER);
    ck_assert_int_eq(heard.suspect_until_ns, told.suspect_until_ns);
    ck_assert_int_eq(breaker_words_mark(&heard), breaker_words_mark(&told));
    ck_assert(breaker_look(table, "primary").of_all);
}
END_TEST

START_TEST(merged_the_later_counts)
{
    struct breaker_words open = open_for(MINUTE), older = {.changed_ns = open.changed_ns - SECOND};

    hear(&open, false, AHEAD_US);
    hear(&older, true, AHEAD_US);
    ck_assert_int_eq(breaker_look(table, "primary").state, BREAKER_OPEN);
    hear(&older, false, AHEAD_US);
    ck_assert_int_eq(breaker_look(table, "primary").state, BREAKER_CLOSED);
}
END_TEST

/* Another process of the host that has just begun to try hears that another host tries. */
START_TEST(merged_a_claim_that_was_told_counts_more_than_a_later_one_that_was_not)
{
    struct breaker_words ours = open_for(MINUTE), theirs = open_for(MINUTE);

    theirs.tries = OTHER;
    theirs.changed_ns -= SECOND;
    hear(&ours, false, AHEAD_US);
    hear(&theirs, true, AHEAD_US);
    ck_assert_int_eq(words().tries, OTHER);
    /* the end of a pause of before is no claim */
    theirs = open_for(-MINUTE);
    theirs.tries = HOST;
    theirs.changed_ns -= 2 * SECOND;
    hear(&theirs, true, AHEAD_US);
    ck_assert_int_eq(words().tries, OTHER);
}
END_TEST

/* Else nothing that anybody learns would ever be later. */
START_TEST(a_change_that_is_to_come_is_one_of_now)
{
    struct breaker_words open = open_for(MINUTE);

    hear(&open, false, AHEAD_US + 3600 * INT64_C(1000000));
    ck_assert_int_eq(words().changed_ns, simulation->now);
    atomic_fetch_add(&simulation->now, SECOND);
    struct breaker_words closed = {.changed_ns = simulation->now};
    hear(&closed, true, AHEAD_US);
    ck_assert_int_eq(words().word, 0);
}
END_TEST

/* Else a host that has just been started would close it for all with the next thing that it tells. */
START_TEST(what_changed_before_this_machine_was_started_is_told_on)
{
    struct breaker_words before = words();
    char text[200], told[200] = "";

    snprintf(text, sizeof text, "breaker %lld %lld %d 1 0 0\n", (long long)AHEAD_US - 5000000,
             (long long)(AHEAD_US + (simulation->now + MINUTE) / 1000), BREAKER_THRESHOLD);
    breaker_read(table, "primary", &before, false, AHEAD_US, text);
    struct breaker_words heard = words();
    ck_assert_int_eq(breaker_judge(heard.word, simulation->now).state, BREAKER_OPEN);
    ck_assert_int_gt(heard.changed_ns, 0);
    FILE *out = fmemopen(told, sizeof told, "w");
    breaker_write(&heard, AHEAD_US, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(told, "breaker "));

    heard.changed_ns = 0; /* nor where nobody knows when it was */
    out = fmemopen(told, sizeof told, "w");
    breaker_write(&heard, AHEAD_US, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(told, "breaker 0 "));
}
END_TEST

START_TEST(a_mark_changes_with_the_word_the_suspect_and_who_tries)
{
    struct breaker_words first = open_for(MINUTE), second = first;

    second.suspect = HOST;
    ck_assert_int_ne(breaker_words_mark(&first), breaker_words_mark(&second));
    second = first;
    second.tries = OTHER;
    ck_assert_int_ne(breaker_words_mark(&first), breaker_words_mark(&second));
    second = open_for(2 * MINUTE);
    ck_assert_int_ne(breaker_words_mark(&first), breaker_words_mark(&second));
    first.word = INT64_MAX; /* damage is a word, too */
    ck_assert_int_ne(breaker_words_mark(&first), breaker_words_mark(&second));
}
END_TEST

START_TEST(a_breaker_that_was_never_used_is_not_told)
{
    struct breaker_words none = {0}, open = open_for(MINUTE);

    hear(&open, false, AHEAD_US);
    hear(&none, false, AHEAD_US);
    ck_assert_int_eq(breaker_words_mark(&none), 0);
    ck_assert_int_eq(words().word, 0);
    breaker_share_reset(table, "primary");
    ck_assert_int_eq(words().word, 0);
}
END_TEST

UNIT_SUITE(breaker_share_suite)
{
    Suite *suite = suite_create("breaker_share");
    TCase *tcase = tcase_create("breaker_share");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_is_written_is_read);
    tcase_add_test(tcase, merged_the_later_counts);
    tcase_add_test(tcase, merged_a_claim_that_was_told_counts_more_than_a_later_one_that_was_not);
    tcase_add_test(tcase, a_change_that_is_to_come_is_one_of_now);
    tcase_add_test(tcase, what_changed_before_this_machine_was_started_is_told_on);
    tcase_add_test(tcase, a_mark_changes_with_the_word_the_suspect_and_who_tries);
    tcase_add_test(tcase, a_breaker_that_was_never_used_is_not_told);
    suite_add_tcase(suite, tcase);
    return suite;
}
