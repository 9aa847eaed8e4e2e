#include "trace/trace_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "suites.h"

enum { LINES = 20000 }; /* more than a page, and more than stdio keeps */

static char path[64];
static struct trace_log trace_log;
static int seen;

static void set_up(void)
{
    snprintf(path, sizeof path, "/tmp/sendpost-test.XXXXXX");
    FILE *file = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < LINES; i++)
        fprintf(file, "Nov 26 10:00:00 mx postfix/qmgr[7]: 4b%05d: removed\n", i);
    fclose(file);
    seen = 0;
    char *why;
    ck_assert_msg(trace_log_open(&trace_log, path, &why), "%s", why);
}

static void tear_down(void)
{
    trace_log_close(&trace_log);
    unlink(path);
}

static bool count(void *cut, const struct postfix_log_line *line, int64_t time_ms)
{
    (void)line, (void)time_ms;
    seen++;
    if (*(const bool *)cut)
        ck_assert_int_eq(truncate(path, 0), 0);
    return true;
}

START_TEST(lines_with_one_of_the_words_are_seen)
{
    ck_assert(trace_log_each(&trace_log, (const char *[]){"4b00007", "4b19999"}, 2, count, &(bool){false}));
    ck_assert_int_eq(seen, 2);
}
END_TEST

static bool note_words(void *words, const struct postfix_log_line *line, int64_t time_ms)
{
    (void)time_ms;
    snprintf(words, 64, "%.*s", (int)line->words.length, line->words.at);
    return true;
}

/* What follows the queue id ends with the line, also of one that a log shipper has wrapped, and that has more
 * behind it. */
START_TEST(the_words_of_a_line_are_its_own)
{
    char words[64];
    FILE *file = fopen(path, "ae");

    fputs("{\"log\":\"Nov 26 10:00:00 mx postfix/qmgr[7]: 4bWRAPPED: from=<a@example.com>, status=expired, "
          "x\\n\","
          "\"stream\":\"stdout\",\"time\":\"2026-11-26T10:00:00Z\"}\n",
          file);
    fclose(file);
    trace_log_close(&trace_log);
    char *why;
    ck_assert_msg(trace_log_open(&trace_log, path, &why), "%s", why);
    ck_assert(trace_log_each(&trace_log, (const char *[]){"4bWRAPPED"}, 1, note_words, words));
    ck_assert_str_eq(words, "from=<a@example.com>, status=expired, x");
    ck_assert(trace_log_each(&trace_log, (const char *[]){"4b00007"}, 1, note_words, words));
    ck_assert_str_eq(words, "removed");
}
END_TEST

START_TEST(a_log_that_is_cut_while_it_is_read_ends_nobody)
{
    ck_assert(trace_log_each(&trace_log, (const char *[]){"removed"}, 1, count, &(bool){true}));
    ck_assert_int_ge(seen, 1);
    ck_assert_int_lt(seen, LINES);
}
END_TEST

UNIT_SUITE(trace_log_suite)
{
    Suite *suite = suite_create("trace_log");
    TCase *tcase = tcase_create("trace_log");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, lines_with_one_of_the_words_are_seen);
    tcase_add_test(tcase, the_words_of_a_line_are_its_own);
    tcase_add_test(tcase, a_log_that_is_cut_while_it_is_read_ends_nobody);
    suite_add_tcase(suite, tcase);
    return suite;
}
