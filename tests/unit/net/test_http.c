#include "net/http.h"

#include <stdio.h>
#include <string.h>

#include "suites.h"

static struct http_answer answer;

/* Feed text in pieces of the given size, then the end of the connection if it is still wanted. */
static enum http_progress feed(const char *text, size_t length, size_t piece, bool then_close, size_t *rest_r)
{
    enum http_progress progress = HTTP_MORE;
    size_t at = 0, used;

    http_answer_start(&answer);
    while (at < length && progress == HTTP_MORE) {
        size_t part = length - at < piece ? length - at : piece;
        progress = http_answer_feed(&answer, text + at, part, &used, NULL, NULL);
        ck_assert_uint_le(used, part);
        ck_assert(progress != HTTP_MORE || used == part);
        at += used;
    }
    *rest_r = length - at;
    return progress == HTTP_MORE && then_close ? http_answer_end(&answer) : progress;
}

static const struct {
    const char *text;
    bool then_close;
    enum http_progress progress;
    int status;
    const char *body;
    bool keep;
    size_t rest;
} cases[] = {
    {"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nokHTTP", false, HTTP_DONE, 202, "ok", true, 4},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, HTTP_DONE, 204, "", true, 0},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, HTTP_DONE, 200, "", true, 0},
    {"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", false, HTTP_DONE, 200, "x", true, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, HTTP_DONE, 200, "x", false, 0},
    {"HTTP/1.1 200 OK\r\ncontent-length:1\r\nConnection: Close\r\n\r\nx", false, HTTP_DONE, 200, "x", false,
     0},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 202 ok\r\nContent-Length: "
     "0\r\n\r\n",
     false, HTTP_DONE, 202, "", true, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nT: "
     "r\r\n\r\n",
     false, HTTP_DONE, 200, "abc0123456789abcdef", true, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n", false,
     HTTP_DONE, 200, "x", true, 0},
    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", true, HTTP_DONE, 200, "until the end", false, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort", true, HTTP_BAD, 200, "short", false, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, HTTP_BAD, 200, "", true, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", false, HTTP_BAD, 200, "a", true, 2},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", false, HTTP_BAD, 200, "", true, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false, HTTP_BAD, 200, "", true, 2},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false, HTTP_BAD, 200, "", true, 2},
    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", false, HTTP_BAD, 200, "", true, 2},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", false, HTTP_BAD, 200, "", true, 2},
    {"HTTP/1.1 101 Switching\r\n\r\n", false, HTTP_BAD, 101, "", true, 2},
    {"HTTP/2 200\r\n\r\n", false, HTTP_BAD, 0, "", false, 2},
    {"HTTP/1.1 2x0 OK\r\n\r\n", false, HTTP_BAD, 2, "", false, 2},
    {"HTTP/1.1 2000 OK\r\n\r\n", false, HTTP_BAD, 0, "", false, 2},
    {"220 smtp.example.net ESMTP\r\n", false, HTTP_BAD, 0, "", false, 0},
    {"", true, HTTP_BAD, 0, "", false, 0},
};

START_TEST(an_answer_is_read_alike_in_one_piece_and_byte_by_byte)
{
    static const size_t pieces[] = {10000, 1, 3};

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t rest;
        enum http_progress progress =
            feed(cases[_i].text, strlen(cases[_i].text), pieces[i], cases[_i].then_close, &rest);
        ck_assert_msg(progress == cases[_i].progress, "%s", cases[_i].text);
        ck_assert_int_eq(answer.status, cases[_i].status);
        ck_assert_uint_eq(answer.body_kept, strlen(cases[_i].body));
        ck_assert_mem_eq(answer.body, cases[_i].body, answer.body_kept);
        if (progress == HTTP_DONE) {
            ck_assert(answer.keep == cases[_i].keep);
            ck_assert_uint_eq(rest, cases[_i].rest);
        }
    }
}
END_TEST

static void repeat(const char *start, const char *again, size_t times, enum http_progress expected)
{
    size_t used;
    enum http_progress progress;

    http_answer_start(&answer);
    progress = http_answer_feed(&answer, start, strlen(start), &used, NULL, NULL);
    while (times-- > 0 && progress == HTTP_MORE)
        progress = http_answer_feed(&answer, again, strlen(again), &used, NULL, NULL);
    ck_assert_int_eq(progress, expected);
}

START_TEST(floods_end_the_answer_and_not_us)
{
    repeat("", "x", 1 << 20, HTTP_BAD);
    repeat("HTTP/1.1 200 OK\r\n", "A: b\r\n", 1 << 20, HTTP_BAD);
    repeat("", "HTTP/1.1 100 Continue\r\n\r\n", 1 << 20, HTTP_BAD);
    repeat("HTTP/1.1 500 Oops\r\n\r\n", "0123456789", 1 << 20, HTTP_BAD);
    ck_assert(answer.head_done); /* the answer itself stands */
    ck_assert_uint_eq(answer.body_kept, HTTP_BODY_KEPT);
}
END_TEST

static const struct {
    const char *value;
    int64_t expected_ms;
} waits[] = {
    {"120", 120000},
    {"0", 0},
    {"", 0},
    {"-5", 0},
    {"soon", 0},
    {"99999999999999999999", 86400000},
    {"Mon, 23 Nov 2026 06:01:00 GMT", 60000},
    {"Monday, 23-Nov-26 06:01:00 GMT", 60000},
    {"Mon Nov 23 06:01:00 2026", 60000},
    {"Mon, 23 Nov 2026 05:59:00 GMT", 0},
    {"Mon, 23 Nov 2026 06:01:00 GMT and more", 0},
};

START_TEST(retry_after_is_seconds_or_a_date)
{
    const int64_t now_s = 1795413600; /* 2026-11-23 06:00:00 UTC */

    ck_assert_int_eq(http_retry_after_ms(waits[_i].value, now_s), waits[_i].expected_ms);
}
END_TEST

START_TEST(a_url_is_taken_apart)
{
    struct http_url url;

    ck_assert(http_url_parse("https://events.sendpost.io/api/v1/events?x=y#z", &url));
    ck_assert(url.tls);
    ck_assert_str_eq(url.host, "events.sendpost.io");
    ck_assert_uint_eq(url.port, 443);
    ck_assert_str_eq(url.path, "/api/v1/events?x=y");
    ck_assert(http_url_parse("http://[::1]:8080", &url));
    ck_assert_str_eq(url.host, "::1");
    ck_assert_str_eq(url.authority, "[::1]:8080");
    ck_assert_uint_eq(url.port, 8080);
    ck_assert_str_eq(url.path, "/");
    ck_assert(http_url_parse("https://h?q", &url));
    ck_assert_str_eq(url.path, "/?q");
}
END_TEST

static const char *const bad_urls[] = {
    "ftp://h/",         "https://",           "https:///x",     "https://user@h/", "https://h:0/",
    "https://h:65536/", "https://h:/",        "https://h:80x/", "https://[::1/",   "https://[::1]x/",
    "https://h/a b",    "https://h/\r\nX: y", "https://h\x01/", "https://[]/",     "events.sendpost.io",
};

START_TEST(what_is_no_url_of_ours_is_refused)
{
    struct http_url url;

    ck_assert_msg(!http_url_parse(bad_urls[_i], &url), "%s", bad_urls[_i]);
}
END_TEST

static const struct {
    const char *field;
    bool takes_gzip;
} codings[] = {
    {"Accept-Encoding: gzip", true},      {"accept-encoding:deflate ,\tGZIP;q=0.5, br", true},
    {"Accept-Encoding: x-gzip", true},    {"Accept-Encoding: gzip ; q=0.001", true},
    {"Accept-Encoding: gzip;q=0", false}, {"Accept-Encoding: gzip;q=0.000, br;q=1", false},
    {"Accept-Encoding: identity", false}, {"Accept-Encoding: gzipped", false},
    {"Accept-Encoding: , ,,", false},     {"Accept-Encoding:", false},
    {"Content-Encoding: gzip", false},    {"X: gzip", false},
};

START_TEST(a_server_says_whether_it_takes_gzip)
{
    char text[256];
    size_t rest;
    int length = snprintf(text, sizeof text, "HTTP/1.1 202 Accepted\r\n%s\r\nContent-Length: 0\r\n\r\n",
                          codings[_i].field);

    ck_assert_int_eq(feed(text, (size_t)length, 7, false, &rest), HTTP_DONE);
    ck_assert(answer.takes_gzip == codings[_i].takes_gzip);
}
END_TEST

UNIT_SUITE(http_suite)
{
    Suite *suite = suite_create("http");
    TCase *tcase = tcase_create("http");

    tcase_add_loop_test(tcase, an_answer_is_read_alike_in_one_piece_and_byte_by_byte, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, floods_end_the_answer_and_not_us);
    tcase_add_loop_test(tcase, retry_after_is_seconds_or_a_date, 0, sizeof waits / sizeof waits[0]);
    tcase_add_test(tcase, a_url_is_taken_apart);
    tcase_add_loop_test(tcase, what_is_no_url_of_ours_is_refused, 0, sizeof bad_urls / sizeof bad_urls[0]);
    tcase_add_loop_test(tcase, a_server_says_whether_it_takes_gzip, 0, sizeof codings / sizeof codings[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
