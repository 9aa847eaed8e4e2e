#include "net/http_reader.h"

#include <string.h>

#include "suites.h"

static struct http_answer answer;
static struct http_reader reader;

static void reset(void)
{
    http_answer_reset(&answer, 1024);
    http_reader_begin(&reader, &answer);
}

static enum http_progress feed(const char *text)
{
    return http_reader_feed(&reader, text, strlen(text));
}

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
    const char *text;
    enum http_progress progress;
    int status;
    const char *body; /* NULL: none */
    bool stays;
} answers[] = {
    {OK "Content-Length: 5\r\n\r\nhello", HTTP_WHOLE, 200, "hello", true},
    {OK "content-length:5 \r\ncontent-length: 5\r\n\r\nhello", HTTP_WHOLE, 200, "hello", true},
    {"HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n", HTTP_WHOLE, 202, NULL, true},
    {"HTTP/1.1 202\nContent-Length: 2\n\nok", HTTP_WHOLE, 202, "ok", true}, /* RFC 9112 section 2.2 */
    {"HTTP/1.1 204 No Content\r\n\r\n", HTTP_WHOLE, 204, NULL, true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HTTP_WHOLE, 304, NULL, true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" OK
     "Content-Length: 1\r\n\r\nx",
     HTTP_WHOLE, 200, "x", true},
    {OK "Connection: keep-alive, Close\r\nContent-Length: 1\r\n\r\nx", HTTP_WHOLE, 200, "x", false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", HTTP_WHOLE, 200, "x", false},
    {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n, all here!\r\n", HTTP_NONSENSE, 200,
     NULL, false},
    {OK "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00a;x=\"y\"\r\n, all here\r\n0\r\nX-Sum: 1\r\n\r\n",
     HTTP_WHOLE, 200, "hello, all here", true},
    {OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HTTP_WHOLE, 200, NULL, true},
    {OK "Content-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n", HTTP_WHOLE, 200, "x",
     false}, /* nobody asked for it */
    {OK "\r\nto the end", HTTP_MORE, 200, "to the end", true},
    /* where does it end? */
    {OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", HTTP_NONSENSE, 0, NULL, false},
    {OK "Content-Length: 5, 5\r\n\r\nhello", HTTP_NONSENSE, 0, NULL, false},
    {OK "Content-Length: +5\r\n\r\nhello", HTTP_NONSENSE, 0, NULL, false},
    {OK "Content-Length: 0x5\r\n\r\nhello", HTTP_NONSENSE, 0, NULL, false},
    {OK "Content-Length: \r\n\r\nhello", HTTP_NONSENSE, 0, NULL, false},
    {OK "Content-Length: 99999999999999999999999\r\n\r\nhello", HTTP_NONSENSE, 0, NULL, false},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", HTTP_NONSENSE, 0, NULL, false},
    {OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", HTTP_NONSENSE, 200, NULL, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", HTTP_NONSENSE, 200, NULL, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n5x\r\nhello\r\n", HTTP_NONSENSE, 200, NULL, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n", HTTP_NONSENSE, 200, NULL, false},
    /* no HTTP */
    {"220 mail.example.com ESMTP\r\n", HTTP_NONSENSE, 0, NULL, false},
    {"HTTP/2 200\r\n\r\n", HTTP_NONSENSE, 0, NULL, false},
    {"HTTP/1.1 2000 OK\r\n\r\n", HTTP_NONSENSE, 0, NULL, false},
    {"HTTP/1.1 20\r\n\r\n", HTTP_NONSENSE, 0, NULL, false},
    {"HTTP/1.1 099 OK\r\n\r\n", HTTP_NONSENSE, 0, NULL, false},
};

static void expect(enum http_progress progress, size_t number)
{
    ck_assert_int_eq(progress, answers[number].progress);
    ck_assert_int_eq(answer.status, answers[number].status);
    ck_assert_int_eq(reader.stays && progress != HTTP_NONSENSE, answers[number].stays);
    if (progress == HTTP_WHOLE || progress == HTTP_MORE)
        ck_assert_pstr_eq(answer.body, answers[number].body);
}

START_TEST(an_answer_ends_where_it_says)
{
    expect(feed(answers[_i].text), (size_t)_i);
}
END_TEST

START_TEST(it_is_the_same_byte_by_byte)
{
    enum http_progress progress = HTTP_MORE;
    const char *at = answers[_i].text;

    if (strstr(at, "xHTTP") != NULL) /* what comes behind the end comes later, then */
        return;
    for (; *at != '\0' && progress == HTTP_MORE; at++)
        progress = http_reader_feed(&reader, at, 1);
    expect(progress, (size_t)_i);
}
END_TEST

START_TEST(the_end_of_the_connection_is_an_end_where_nothing_else_is)
{
    ck_assert_int_eq(feed(OK "\r\nall"), HTTP_MORE);
    ck_assert_int_eq(http_reader_end(&reader), HTTP_WHOLE);
    ck_assert(!reader.stays);
    ck_assert_str_eq(answer.body, "all");
    static const char *const cut[] = {"", "HTTP/1.1 200", OK, OK "Content-Length: 5\r\n\r\nhell",
                                      OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        reset();
        ck_assert_int_eq(feed(cut[i]), HTTP_MORE);
        ck_assert_int_eq(http_reader_end(&reader), HTTP_NONSENSE);
    }
}
END_TEST

START_TEST(floods_end_the_answer)
{
    int lines = 0;

    ck_assert_int_eq(feed(OK), HTTP_MORE);
    while (feed("A: b\r\n") == HTTP_MORE)
        ck_assert_int_lt(lines++, HTTP_HEAD_MAX);
    reset();
    for (lines = 0; feed("no end") == HTTP_MORE; lines++)
        ck_assert_int_lt(lines, HTTP_HEAD_MAX);
    reset();
    ck_assert_int_eq(feed(OK "Content-Length: 5000\r\n\r\n"), HTTP_MORE);
    for (lines = 0; feed("0123456789") == HTTP_MORE; lines++)
        ck_assert_int_lt(lines, 200);
    ck_assert_int_eq(lines, 102);
    ck_assert_int_eq(answer.status, 200);
    ck_assert(!reader.stays);
}
END_TEST

static void count_lines(void *context, const char *line, size_t length)
{
    ck_assert_uint_gt(length, 0);
    ck_assert_int_eq(line[length - 1], '\n');
    ++*(int *)context;
}

START_TEST(each_line_of_a_head_is_shown)
{
    int lines = 0;

    reader.seen = count_lines;
    reader.context = &lines;
    ck_assert_int_eq(feed(OK "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"),
                     HTTP_WHOLE);
    ck_assert_int_eq(lines, 4);
}
END_TEST

UNIT_SUITE(http_reader_suite)
{
    Suite *suite = suite_create("http_reader");
    TCase *tcase = tcase_create("http_reader");

    tcase_add_checked_fixture(tcase, reset, reset);
    tcase_add_loop_test(tcase, an_answer_ends_where_it_says, 0, sizeof answers / sizeof *answers);
    tcase_add_loop_test(tcase, it_is_the_same_byte_by_byte, 0, sizeof answers / sizeof *answers);
    tcase_add_test(tcase, the_end_of_the_connection_is_an_end_where_nothing_else_is);
    tcase_add_test(tcase, floods_end_the_answer);
    tcase_add_test(tcase, each_line_of_a_head_is_shown);
    suite_add_tcase(suite, tcase);
    return suite;
}
