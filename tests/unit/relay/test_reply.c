#include "relay/reply.h"

#include <string.h>

#include "suites.h"

static enum reply_progress feed(struct reply_parser *parser, const char *text, size_t *used_r)
{
    reply_start(parser);
    return reply_feed(parser, text, strlen(text), used_r);
}

START_TEST(a_reply_of_one_line_is_complete)
{
    static struct reply_parser parser;
    size_t used;

    ck_assert_int_eq(feed(&parser, "250 2.0.0 Ok: queued as 4F\r\n", &used), REPLY_COMPLETE);
    ck_assert_int_eq(parser.reply.code, 250);
    ck_assert_str_eq(parser.reply.text, "2.0.0 Ok: queued as 4F");
    ck_assert_uint_eq(used, 28);
}
END_TEST

START_TEST(a_reply_without_text_is_complete)
{
    static struct reply_parser parser;
    size_t used;

    ck_assert_int_eq(feed(&parser, "250\r\n", &used), REPLY_COMPLETE);
    ck_assert_int_eq(parser.reply.code, 250);
    ck_assert_str_eq(parser.reply.text, "");
    ck_assert_int_eq(feed(&parser, "250-\r\n250 \r\n", &used), REPLY_COMPLETE);
    ck_assert_uint_eq(parser.reply.lines, 2);
}
END_TEST

START_TEST(lines_are_joined_and_a_repeated_enhanced_code_is_left_out)
{
    static struct reply_parser parser;
    size_t used;

    ck_assert_int_eq(feed(&parser, "550-5.1.1 The account\r\n550 5.1.1 does not exist\r\n", &used),
                     REPLY_COMPLETE);
    ck_assert_str_eq(parser.reply.text, "5.1.1 The account does not exist");
}
END_TEST

START_TEST(bytes_may_come_one_by_one)
{
    static const char text[] = "250-a\r\n250 b\n";
    static struct reply_parser parser;
    enum reply_progress progress = REPLY_MORE;
    size_t used;

    reply_start(&parser);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        ck_assert_int_eq(progress, REPLY_MORE);
        progress = reply_feed(&parser, text + i, 1, &used);
        ck_assert_uint_eq(used, 1);
    }
    ck_assert_int_eq(progress, REPLY_COMPLETE);
    ck_assert_str_eq(parser.reply.text, "a b");
}
END_TEST

START_TEST(what_follows_a_reply_is_left_alone)
{
    static struct reply_parser parser;
    size_t used;

    ck_assert_int_eq(feed(&parser, "354 go\r\n250 injected\r\n", &used), REPLY_COMPLETE);
    ck_assert_uint_eq(used, 8);
    ck_assert_int_eq(parser.reply.code, 354);
}
END_TEST

START_TEST(what_is_no_reply_is_malformed)
{
    static const char *const broken[] = {
        "\r\n",       "25\r\n",      "2500 ok\r\n",        "abc\r\n",        "150 no\r\n",      "650 no\r\n",
        "250_ok\r\n", " 250 ok\r\n", "250-a\r\n251 b\r\n", "250-a\r\nb\r\n", "HTTP/1.1 400\r\n"};
    static struct reply_parser parser;
    size_t used;

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        ck_assert_msg(feed(&parser, broken[i], &used) == REPLY_MALFORMED, "%s", broken[i]);
}
END_TEST

START_TEST(a_flood_is_stopped)
{
    static struct reply_parser parser;
    char junk[1024];
    enum reply_progress progress = REPLY_MORE;
    size_t used, lines = 0;

    memset(junk, 'x', sizeof junk);
    reply_start(&parser);
    for (int i = 0; i < 100 && progress == REPLY_MORE; i++)
        progress = reply_feed(&parser, junk, sizeof junk, &used);
    ck_assert_int_eq(progress, REPLY_FLOOD); /* no end in sight */

    /* a long line is cut: code and first words are what counts */
    char line[3 * REPLY_LINE_MAX];
    memset(line, 'x', sizeof line);
    memcpy(line, "250 2.0.0 ok ", 13);
    line[sizeof line - 1] = '\n';
    reply_start(&parser);
    ck_assert_int_eq(reply_feed(&parser, line, sizeof line, &used), REPLY_COMPLETE);
    ck_assert_uint_eq(used, sizeof line);
    ck_assert_int_eq(parser.reply.code, 250);
    ck_assert_int_eq(strncmp(parser.reply.text, "2.0.0 ok xxx", 12), 0);

    reply_start(&parser);
    for (progress = REPLY_MORE; progress == REPLY_MORE && lines < 100000; lines++)
        progress = reply_feed(&parser, "250-more\r\n", 10, &used);
    ck_assert_int_eq(progress, REPLY_FLOOD);
    ck_assert_uint_lt(lines, REPLY_TOTAL_MAX / 8);
}
END_TEST

START_TEST(text_is_cut_and_cleaned)
{
    static struct reply_parser parser;
    char line[3000];
    size_t used;

    memset(line, 'x', sizeof line);
    memcpy(line, "250 a\0b\tc", 9);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    reply_start(&parser);
    ck_assert_int_eq(reply_feed(&parser, line, sizeof line, &used), REPLY_COMPLETE);
    ck_assert_uint_eq(parser.reply.text_length, REPLY_TEXT_SIZE - 1);
    ck_assert_int_eq(strncmp(parser.reply.text, "a b cx", 6), 0);
}
END_TEST

UNIT_SUITE(reply_suite)
{
    Suite *suite = suite_create("reply");
    TCase *tcase = tcase_create("reply");

    tcase_add_test(tcase, a_reply_of_one_line_is_complete);
    tcase_add_test(tcase, a_reply_without_text_is_complete);
    tcase_add_test(tcase, lines_are_joined_and_a_repeated_enhanced_code_is_left_out);
    tcase_add_test(tcase, bytes_may_come_one_by_one);
    tcase_add_test(tcase, what_follows_a_reply_is_left_alone);
    tcase_add_test(tcase, what_is_no_reply_is_malformed);
    tcase_add_test(tcase, a_flood_is_stopped);
    tcase_add_test(tcase, text_is_cut_and_cleaned);
    suite_add_tcase(suite, tcase);
    return suite;
}
