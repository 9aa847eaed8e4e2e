#include "net/http_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"

static struct http_answer answer;

static void reset(void)
{
    http_answer_reset(&answer, 1024);
}

static bool head(int status, const char *line)
{
    return http_answer_head(&answer, status, line, strlen(line));
}

START_TEST(the_status_stands_with_the_end_of_the_final_head)
{
    ck_assert(head(100, "HTTP/1.1 100 Continue\r\n") && head(100, "\r\n"));
    ck_assert_int_eq(answer.status, 0);
    ck_assert(head(202, "HTTP/1.1 202 Accepted\r\n"));
    ck_assert_int_eq(answer.status, 0);
    ck_assert(head(202, "\r\n"));
    ck_assert_int_eq(answer.status, 202);
    ck_assert(head(202, "Accept-Encoding: gzip\r\n"));
    ck_assert(!answer.takes_gzip); /* a trailer */
}
END_TEST

static const struct {
    const char *line;
    int64_t date_s;
} dates[] = {
    {"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 784111777},
    {"date:Sun, 06 Nov 1994 08:49:37 GMT\r\n", 784111777},
    {"Date: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 0},
    {"Date: Sun Nov  6 08:49:37 1994\r\n", 0},
    {"Date: Sun, 06 Nov 1994\r\n", 0},
    {"Date:\r\n", 0},
    {"Datex: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 0},
};

START_TEST(a_server_says_what_time_it_has)
{
    ck_assert(head(202, dates[_i].line));
    ck_assert_int_eq(answer.date_s, dates[_i].date_s);
}
END_TEST

START_TEST(floods_end_the_answer_and_not_us)
{
    int lines = 0;

    while (lines < 1 << 20 && head(200, "A: b\r\n"))
        lines++;
    ck_assert_int_le(lines, HTTP_HEAD_MAX / 6);
    reset();
    for (lines = 0; lines < 1 << 20 && head(100, "\r\n"); lines++)
        ;
    ck_assert_int_eq(lines, HTTP_INTERIM_MAX);
    reset();
    ck_assert(head(500, "\r\n"));
    for (lines = 0; lines < 1 << 20 && http_answer_body(&answer, "0123456789", 10); lines++)
        ;
    ck_assert_int_eq(lines, 102);
    ck_assert_int_eq(answer.status, 500); /* the answer itself stands */
    ck_assert_uint_eq(answer.length, 1024);
    ck_assert_uint_eq(strlen(answer.body), 1024);
}
END_TEST

static const struct {
    const char *field;
    bool takes_gzip;
} codings[] = {
    {"Accept-Encoding: gzip\r\n", true},
    {"accept-encoding:deflate ,\tGZIP;q=0.5, br\r\n", true},
    {"Accept-Encoding: x-gzip\n", true},
    {"Accept-Encoding: gzip ; q=0.001\r\n", true},
    {"Accept-Encoding: gzip;q=0\r\n", false},
    {"Accept-Encoding: gzip;q=0.000, br;q=1\r\n", false},
    {"Accept-Encoding: identity\r\n", false},
    {"Accept-Encoding: gzipped\r\n", false},
    {"Accept-Encoding: , ,,\r\n", false},
    {"Accept-Encoding:\r\n", false},
    {"Content-Encoding: gzip\r\n", false},
    {"X: gzip\r\n", false},
    {"Accept-Encoding:", false},
    {"Accept-Encoding", false},
};

START_TEST(a_server_says_whether_it_takes_gzip)
{
    ck_assert(head(202, codings[_i].field) && head(202, "\r\n"));
    ck_assert(answer.takes_gzip == codings[_i].takes_gzip);
}
END_TEST

static const char *const secrets[] = {"key-one", "key-one-and-more", "other", NULL};

START_TEST(secrets_are_masked_wherever_they_stand)
{
    static const char text[] = "key-one, xotherx, key-on";
    size_t length;
    char *masked = http_mask(text, strlen(text), secrets, &length);

    ck_assert_mem_eq(masked, "********, x********x, key-on", length);
    free(masked);
    masked = http_mask(text, strlen(text), NULL, &length);
    ck_assert_uint_eq(length, strlen(text));
    free(masked);
}
END_TEST

static void described(int status, const char *body, bool whole, const char *expected)
{
    reset();
    answer.whole = whole;
    ck_assert(head(status, "\r\n") && http_answer_body(&answer, body, strlen(body)));
    http_answer_describe(&answer, secrets);
    ck_assert_str_eq(answer.text, expected);
}

START_TEST(an_answer_becomes_one_line)
{
    described(422, "\r\n  no such\taccount\x01\n", true, "HTTP 422: no such account  ");
    described(401, "key-one is not known", true, "HTTP 401: ******** is not known");
    described(401, "we do not know key-on", false, "HTTP 401: we do");
    described(204, "", true, "HTTP 204");
    reset();
    answer.status = 502;
    http_answer_describe(&answer, NULL);
    ck_assert_str_eq(answer.text, "HTTP 502");
}
END_TEST

START_TEST(a_key_at_the_cut_of_a_long_body_is_not_shown)
{
    char body[2000];

    memset(body, 'x', sizeof body);
    http_answer_reset(&answer, sizeof body);
    memcpy(body + 350, "key-one", 7);
    ck_assert(head(500, "\r\n") && http_answer_body(&answer, body, sizeof body));
    answer.whole = true;
    http_answer_describe(&answer, secrets);
    ck_assert_ptr_null(strstr(answer.text, "key"));
    ck_assert_uint_lt(strlen(answer.text), HTTP_TEXT_SIZE);
}
END_TEST

UNIT_SUITE(http_answer_suite)
{
    Suite *suite = suite_create("http_answer");
    TCase *tcase = tcase_create("http_answer");

    tcase_add_checked_fixture(tcase, reset, reset);
    tcase_add_test(tcase, the_status_stands_with_the_end_of_the_final_head);
    tcase_add_loop_test(tcase, a_server_says_what_time_it_has, 0, sizeof dates / sizeof dates[0]);
    tcase_add_test(tcase, floods_end_the_answer_and_not_us);
    tcase_add_loop_test(tcase, a_server_says_whether_it_takes_gzip, 0, sizeof codings / sizeof codings[0]);
    tcase_add_test(tcase, secrets_are_masked_wherever_they_stand);
    tcase_add_test(tcase, an_answer_becomes_one_line);
    tcase_add_test(tcase, a_key_at_the_cut_of_a_long_body_is_not_shown);
    suite_add_tcase(suite, tcase);
    return suite;
}
