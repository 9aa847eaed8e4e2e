#include "postlog/log_pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postlog/log_shipper.h"
#include "suites.h"

#define STAMP "2026-11-23T03:30:52.123456789Z"
#define LINE                                                                                          \
    "Nov 23 03:30:52 mx postfix/smtp[10]: 4cYtGz1Nz3z9rN8: to=<c@d.example>, relay=mx[10.0.0.2]:25, " \
    "dsn=2.0.0, status=sent (250 2.0.0 Ok)"

static struct log_pieces pieces;
static struct log_shipper shipper;

static void forget(void)
{
    log_pieces_clear(&pieces);
    log_shipper_free(&shipper);
}

/* As ingest does it: the kind of what the line makes whole, -1 when it waits. */
static int kind_of(const char *text)
{
    struct log_slice whole = {text, strlen(text)};
    struct postfix_log_line line;

    if (!log_pieces_take(&pieces, &whole))
        return -1;
    postfix_log_parse(whole.at, whole.length, &line);
    if (line.kind == POSTFIX_LOG_FOREIGN &&
        !log_shipper_parse(&shipper, &pieces, whole.at, whole.length, &line))
        return -1;
    if (line.kind == POSTFIX_LOG_DELIVERY)
        ck_assert(line.to.length == 11 && memcmp(line.to.at, "c@d.example", 11) == 0);
    return (int)line.kind;
}

/* Cut at every place, and into three. */
START_TEST(a_line_of_cri_is_joined_wherever_it_was_cut)
{
    char part[1024];
    size_t length = strlen(LINE);

    for (size_t cut = 0; cut <= length; cut++) {
        snprintf(part, sizeof part, STAMP " stdout P %.*s", (int)cut, LINE);
        ck_assert_int_eq(kind_of(part), -1);
        ck_assert_int_eq(kind_of(STAMP " stderr F words on another stream"), POSTFIX_LOG_FOREIGN);
        snprintf(part, sizeof part, STAMP " stdout P %.*s", (int)(length - cut) / 2, &LINE[cut]);
        ck_assert_int_eq(kind_of(part), -1);
        snprintf(part, sizeof part, STAMP " stdout F %s", &LINE[cut + (length - cut) / 2]);
        ck_assert_msg(kind_of(part) == POSTFIX_LOG_DELIVERY, "%zu", cut);
        ck_assert_int_eq(kind_of(STAMP " stdout F " LINE), POSTFIX_LOG_DELIVERY);
    }
}
END_TEST

START_TEST(an_object_of_docker_without_its_line_end_is_a_part)
{
    char part[2048];
    size_t length = strlen(LINE);

    ck_assert_int_eq(kind_of("{\"log\":\"" LINE "\\n\",\"stream\":\"stdout\"}"), POSTFIX_LOG_DELIVERY);
    for (size_t cut = 1; cut <= length; cut++) {
        snprintf(part, sizeof part, "{\"log\":\"%.*s\",\"stream\":\"stdout\"}", (int)cut, LINE);
        ck_assert_int_eq(kind_of(part), -1);
        ck_assert_int_eq(kind_of("{\"log\":\"" LINE "\\n\",\"stream\":\"stderr\"}"), POSTFIX_LOG_DELIVERY);
        snprintf(part, sizeof part, "{\"log\":\"%s\\n\",\"stream\":\"stdout\"}", &LINE[cut]);
        ck_assert_msg(kind_of(part) == POSTFIX_LOG_DELIVERY, "%zu", cut);
    }
}
END_TEST

START_TEST(a_shipper_that_writes_no_line_ends_is_believed)
{
    ck_assert_int_eq(kind_of("{\"log\":\"" LINE "\",\"stream\":\"stdout\"}"), POSTFIX_LOG_DELIVERY);
    ck_assert_int_eq(kind_of("{\"log\":\"" LINE "\",\"stream\":\"stdout\",\"logtag\":\"F\"}"),
                     POSTFIX_LOG_DELIVERY);
    ck_assert_int_eq(kind_of("{\"log\":\"Nov 23 03:30:52 mx postfix/smtp[10]: 4cYtGz1Nz3z9rN8: to=<c@d.exa\","
                             "\"stream\":\"stdout\",\"logtag\":\"P\"}"),
                     -1);
    ck_assert_int_eq(
        kind_of("{\"log\":\"mple>, dsn=2.0.0, status=sent (ok)\",\"stream\":\"stdout\",\"logtag\":\"F\"}"),
        POSTFIX_LOG_DELIVERY);
}
END_TEST

/* 16 KB at a time, as both write it, and more than is kept. */
START_TEST(a_long_line_is_joined_and_an_endless_one_bounded)
{
    char *words = malloc(20000), *part = malloc(20200);

    memset(words, 'x', 20000);
    words[16384] = '\0';
    snprintf(part, 20200, "{\"log\":\"%s%.*s\",\"stream\":\"stdout\"}", LINE " ",
             16384 - (int)strlen(LINE " "), words);
    ck_assert_int_eq(kind_of(part), -1);
    ck_assert_int_eq(kind_of("{\"log\":\"xxx)\\n\",\"stream\":\"stdout\"}"), POSTFIX_LOG_DELIVERY);

    ck_assert_int_eq(kind_of(STAMP " stdout P " LINE " "), -1);
    snprintf(part, 20200, STAMP " stdout P %s", words);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(kind_of(part), -1);
    ck_assert_uint_le(pieces.streams[0].length, LOG_PIECES_MAX);
    ck_assert_int_eq(kind_of(STAMP " stdout F end"), POSTFIX_LOG_DELIVERY);
    ck_assert_int_eq(kind_of(STAMP " stdout F " LINE), POSTFIX_LOG_DELIVERY);
    free(words);
    free(part);
}
END_TEST

START_TEST(what_only_looks_like_a_part_is_none)
{
    static const char *const lines[] = {
        LINE,
        STAMP " stdout X " LINE,
        STAMP " stdin P " LINE,
        STAMP " stdout P",
        STAMP " stdout PP " LINE,
        "2026-11-23 03:30:52 stdout P " LINE,
        STAMP " mx postfix/smtp[10]: stdout P x",
        "",
    };

    ck_assert_int_ne(kind_of(lines[_i]), -1);
    ck_assert_uint_eq(pieces.streams[0].length + pieces.streams[1].length, 0);
}
END_TEST

UNIT_SUITE(log_pieces_suite)
{
    Suite *suite = suite_create("log_pieces");
    TCase *tcase = tcase_create("log_pieces");

    tcase_add_checked_fixture(tcase, forget, forget);
    tcase_add_test(tcase, a_line_of_cri_is_joined_wherever_it_was_cut);
    tcase_add_test(tcase, an_object_of_docker_without_its_line_end_is_a_part);
    tcase_add_test(tcase, a_shipper_that_writes_no_line_ends_is_believed);
    tcase_add_test(tcase, a_long_line_is_joined_and_an_endless_one_bounded);
    tcase_add_loop_test(tcase, what_only_looks_like_a_part_is_none, 0, 8);
    suite_add_tcase(suite, tcase);
    return suite;
}
