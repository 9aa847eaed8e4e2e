#include "postlog/log_prefix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "postlog/log_shipper.h"
#include "postlog/log_time.h"
#include "suites.h"

#define MESSAGE "4cYtGz1Nz3z9rN8: client=localhost[127.0.0.1]"

static struct log_shipper shipper;
static struct log_pieces pieces;

/* Each test reads a log of its own: what one has learnt of a shipper is not another's. */
static void begin(void)
{
    log_shipper_free(&shipper);
    log_pieces_clear(&pieces);
}

/* As ingest does it. */
static struct postfix_log_line parse(const char *text)
{
    struct postfix_log_line line;

    postfix_log_parse(text, strlen(text), &line);
    if (line.kind == POSTFIX_LOG_FOREIGN)
        log_shipper_parse(&shipper, &pieces, text, strlen(text), &line);
    return line;
}

static const char *text_of(struct log_slice slice)
{
    static char text[256];

    snprintf(text, sizeof text, "%.*s", (int)slice.length, slice.at ? slice.at : "");
    return text;
}

static const char *time_of(struct log_slice stamp)
{
    static char text[CLOCK_RFC3339_SIZE];
    setenv("TZ", "UTC", 1);
    tzset();
    struct log_time log_time = {.reference_ms = INT64_C(1795600000000)}; /* 2026-11-25 */

    return clock_rfc3339(log_time_parse(&log_time, stamp), text);
}

/* 23 November 2026, 03:30:52 UTC, is 1795404652. */
static const struct {
    const char *prefix, *host, *time;
} prefixes[] = {
#define AT "2026-11-23T03:30:52.000Z"
#define AT_123 "2026-11-23T03:30:52.123Z"
    /* blanks */
    {"Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:52 mx postfix/smtpd[10]:  ", "mx", AT},
    {"Nov 23 03:30:52 mx postfix/smtpd[10]:", "mx", AT},
    {"Nov 23 03:30:52 mx postfix/smtpd[10]:\t", "mx", AT},
    {"Nov 23 03:30:52 mx postfix/smtpd:", "mx", AT},
    {"Nov 23  03:30:52  mx  postfix/smtpd[10]: ", "mx", AT},
    {" Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    /* fractions, ISO, zones */
    {"Nov 23 03:30:52.123456 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"Nov 23 03:30:52,123 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"2026-11-23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23 03:30:52.123 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"2026-11-23 03:30:52,123 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"2026-11-23 04:30:52+01:00 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23 04:30:52 +0100 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T04:30:52+0100 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:52,123Z mx postfix/smtpd[10]: ", "mx", AT_123},
    {"2026-11-22T22:30:52.123-05 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"2026/11/23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23_03:30:52.12345 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"1795404652 mx postfix/smtpd[10]: ", "mx", AT},
    {"1795404652.123456 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"1795404652123 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"@400000006b03b391075bcd15 mx postfix/smtpd[10]: ", "mx", AT_123},
    /* years, days of the week, other orders */
    {"Nov 23 2026 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026 Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"Mon Nov 23 03:30:52 2026 mx postfix/smtpd[10]: ", "mx", AT},
    {"Mon Nov 23 03:30:52 UTC 2026 mx postfix/smtpd[10]: ", "mx", AT},
    {"23 Nov 2026 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"23-Nov-2026 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"23/Nov/2026:03:30:52 +0000 mx postfix/smtpd[10]: ", "mx", AT},
    {"23.11.2026 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"Mon 2026-11-23 03:30:52 UTC mx postfix/smtpd[10]: ", "mx", AT},
    {"Mo 2026-11-23 03:30:52 UTC mx postfix/smtpd[10]: ", "mx", AT},
    /* months of other languages */
    {"nov. 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"23 nov. 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"lis 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"ноя 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"листопада 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"marras 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"Kas 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"11月 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"11월 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"Νοε 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"Мар 23 03:30:52 mx postfix/smtpd[10]: ", "mx", "2026-03-23T03:30:52.000Z"},
    {"Mär 23 03:30:52 mx postfix/smtpd[10]: ", "mx", "2026-03-23T03:30:52.000Z"},
    {"août 23 03:30:52 mx postfix/smtpd[10]: ", "mx", "2026-08-23T03:30:52.000Z"},
    {"juil. 23 03:30:52 mx postfix/smtpd[10]: ", "mx", "2026-07-23T03:30:52.000Z"},
    {"juin 23 03:30:52 mx postfix/smtpd[10]: ", "mx", "2026-06-23T03:30:52.000Z"},
    {"Dez 23 03:30:52 mx postfix/smtpd[10]: ", "mx", "2025-12-23T03:30:52.000Z"},
    {"xyz 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT}, /* the latest 23rd */
    /* levels */
    {"Nov 23 03:30:52 mx mail.info postfix/smtpd[10]: ", "mx", AT}, /* busybox */
    {"Nov 23 03:30:52 mx mail:info postfix/smtpd[10]: ", "mx", AT}, /* AIX */
    {"Nov 23 03:30:52 mx info postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:52 mx INFO: postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:52 mx [info] postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:52 info mx postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:52 <mail.info> mx postfix/smtpd[10]: ", "mx", AT}, /* FreeBSD, syslogd -v */
    {"Nov 23 03:30:52 <2.6> mx postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:52 mx postfix/smtpd[10]: [ID 197553 mail.info] ", "mx", AT}, /* Solaris */
    {"Nov 23 03:30:52 mx postfix/smtpd[10]: info: ", "mx", AT},
    {"Nov 23 03:30:52 mx postfix/smtpd[10]: [info] ", "mx", AT},
    {"Nov 23 03:30:52 mx postfix/smtpd[10]: mail.info ", "mx", AT},
    /* a prefix before another */
    {"Nov 23 03:30:53 loghost Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:53Z loghost <22>Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:53 10.0.0.9 2026-11-23T03:30:52Z mx postfix/smtpd[10]: ", "mx", AT},
    {"Nov 23 03:30:53 loghost <22>1 2026-11-23T03:30:52Z mx postfix/smtpd 10 - - ", "mx", AT},
    {"Nov 23 03:30:52 10.0.0.9 mx postfix/smtpd[10]: ", "10.0.0.9", AT},
    {"Nov 23 03:30:52 relay/mx postfix/smtpd[10]: ", "relay/mx", AT}, /* syslog-ng, chain_hostnames */
    {"Nov 23 03:30:52 src@mx postfix/smtpd[10]: ", "src@mx", AT},
    {"Nov 23 03:30:52 loghost Message forwarded from mx: postfix/smtpd[10]: ", "mx", AT}, /* AIX */
    {"2026-11-23T03:30:53.123456789Z stdout F Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:53.123456789+00:00 stderr F 2026-11-23T03:30:52Z mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:52.123456789Z stdout F postfix/smtpd[10]: ", "", AT_123},
    {"\033[36mmail_1  |\033[0m Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT}, /* in colours */
    {"Nov 23 03:30:52 [postfix/smtpd] ", "", AT},                                  /* metalog */
    {"postfix_1  | Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},             /* docker-compose logs */
    {"[pod/mail-0/postfix] Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},     /* kubectl logs --prefix */
    {"[2026-11-23 03:30:52] mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:52.123456789Z Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT}, /* docker logs -t */
    /* journalctl -o short-*; what has no time of day has the time of the file */
    {"Nov 23 03:30:52.123456 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"2026-11-23T03:30:52+0000 mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:52.123456+0000 mx postfix/smtpd[10]: ", "mx", AT_123},
    {"Mon 2026-11-23 04:30:52 CET mx postfix/smtpd[10]: ", "mx", "2026-11-23T04:30:52.000Z"},
    {"[ 1234.567890] mx postfix/smtpd[10]: ", "mx", NULL},
    /* RFC 5424 and rsyslog's templates */
    {"<22>1 2026-11-23T03:30:52.123456Z mx postfix/smtpd 10 - - ", "mx", AT_123},
    {"<22>1 2026-11-23T03:30:52.123456Z mx postfix/smtpd 10 - -  ", "mx", AT_123},
    {"<22>1 2026-11-23T03:30:52Z mx postfix/smtpd 10 ID47 [meta sequenceId=\"1\" x=\"a\\\"]b\"] ", "mx", AT},
    {"1 2026-11-23T03:30:52Z mx postfix/smtpd - - - ", "mx", AT},
    {"<22>1 - mx postfix/smtpd 10 - - ", "mx", NULL},
    {"2026-11-23T03:30:52Z mx postfix/smtpd 10 - - ", "mx", AT},
    {"<22>Nov 23 03:30:52 mx postfix/smtpd[10]: ", "mx", AT},
    {"<22>2026-11-23T03:30:52Z mx postfix/smtpd[10]: ", "mx", AT},
    {"2026-11-23T03:30:52Z mx postfix[10]: ", "mx", AT}, /* %programname% ends at the slash */
    {"2026-11-23T03:30:52Z mx postfix: ", "mx", AT},
    {"2026-11-23T03:30:52Z mx postfix/smtpd[10] ", "mx", AT},
    {"postfix/smtpd[10]: ", "", NULL},
    {"Nov 23 03:30:52 postfix/smtpd[10]: ", "", AT},
    {"Nov 23 03:30:52 fe80::1 postfix/smtpd[10]: ", "fe80::1", AT},
    /* a tag of any syslog_name */
    {"2026-11-23 03:30:52 mx postfix-out/submission/smtpd[10]: ", "mx", AT},
};

START_TEST(a_prefix_in_use_is_read)
{
    char text[512];

    snprintf(text, sizeof text, "%s%s", prefixes[_i].prefix, MESSAGE);
    struct postfix_log_line line = parse(text);
    ck_assert_msg(line.kind == POSTFIX_LOG_BORN, "%d: %s", (int)line.kind, text);
    ck_assert_msg(line.queue_id.length == 15, "%s", text);
    ck_assert_msg(strcmp(text_of(line.host), prefixes[_i].host) == 0, "host %s: %s", text_of(line.host),
                  text);
    if (prefixes[_i].time != NULL)
        ck_assert_msg(strcmp(time_of(line.stamp), prefixes[_i].time) == 0, "%s: %s", time_of(line.stamp),
                      text);
    else
        ck_assert_str_eq(time_of(line.stamp), "2026-11-25T09:46:40.000Z");
}
END_TEST

START_TEST(a_line_of_another_program_is_that_programs)
{
    static const char *const others[] = {
        "Nov 23 03:30:52 mx sshd[1]: ",
        "Nov 23 03:30:52 mx sshd[1]: Nov 23 03:30:52 mx ",
        "Nov 23 03:30:52.123 mx sshd[1]: ",
        "Nov 23 03:30:52 mx kernel: ",
        "Nov 23 03:30:52 kernel: ",
        "Nov 23 03:30:52.1 kernel: ",
        "2026-11-23 03:30:52 kernel: ",
        "2026-11-23 03:30:52 mx imap-login: Info: ",
        "2026-11-23T03:30:52Z stdout F app[1]: ",
        "2026-11-23T03:30:52Z stdout F some words of an application ",
        "Nov 23 03:30:52 mx some words ",
        "Nov 23 03:30:52 mx word ",
        "Nov 23 03:30:52 mx app:word ",
        "Nov 23 03:30:52 postfixadmin: ",
        "<22>1 2026-11-23T03:30:52Z mx app 10 - - ",
        "<22>1 2026-11-23T03:30:52Z mx app 10 - - Nov 23 03:30:52 mx ",
        "Nov 23 03:30:52 mx info: app: ",
        "Nov 23 03:30:52 [postfix words] app: ",
        "app: ",
        "words of somebody ",
        "x=1 ",
        "[info] app: ",
        "",
    };
    char text[512];

    snprintf(text, sizeof text, "%s%s%s", others[_i], *others[_i] ? "postfix/smtpd[10]: " : "", MESSAGE);
    ck_assert_msg(parse(text).kind <= POSTFIX_LOG_OTHER, "%s", text);
}
END_TEST

START_TEST(json_of_a_log_shipper_is_read)
{
    static const struct {
        const char *text, *host, *time;
    } lines[] = {
        {"{\"log\":\"Nov 23 03:30:52 mx postfix/smtpd[10]: " MESSAGE
         "\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T"
         "03:30:53.1Z\"}",
         "mx", AT},
        {"{\"log\":\"postfix/smtpd[10]: " MESSAGE
         "\\r\\n\",\"attrs\":{\"tag\":\"mail\"},\"time\":\"2026-11-23T03:30:52.123Z\"}",
         "", AT_123},
        {"{\"__REALTIME_TIMESTAMP\":\"1795404652123456\",\"PRIORITY\":\"6\",\"SYSLOG_IDENTIFIER\":\"postfix/"
         "smtpd\",\"_HOSTNAME\":\"mx\",\"SYSLOG_PID\":\"10\",\"MESSAGE\":\"" MESSAGE "\"}",
         "mx", AT_123},
        {"{\"@timestamp\":\"2026-11-23T03:30:53Z\",\"host\":{\"name\":\"x\"},\"message\":\"Nov 23 03:30:52 "
         "mx "
         "postfix/smtpd[10]: " MESSAGE "\",\"n\":[1,\"a\",{\"b\":null}]}",
         "mx", AT},
        {"{\"timereported\":\"2026-11-23T03:30:52Z\",\"host\":\"mx\",\"syslogtag\":\"postfix/"
         "smtpd[10]:\",\"msg\":\" " MESSAGE "\"}",
         "mx", AT},
        {"2026-11-23T03:30:53.1Z stdout F {\"log\":\"Nov 23 03:30:52 mx postfix/smtpd[10]: " MESSAGE "\"}",
         "mx", AT},
        {"2026-11-23T03:30:52+00:00\tmail.info\t{\"host\":\"mx\",\"ident\":\"postfix/"
         "smtpd\",\"pid\":\"10\",\"message\":"
         "\"" MESSAGE "\"}",
         "mx", NULL},
        {"{\"log\":\"Nov 23 03:30:52 mx postfix\\/smtpd[10]: 4cYtGz1Nz3z9rN8\\u003a "
         "client=\\u003c\\ud83d\\ude00\\u00e9\"}",
         "mx", AT},
    };

    struct postfix_log_line line = parse(lines[_i].text);
    ck_assert_msg(line.kind == POSTFIX_LOG_BORN, "%d: %s", (int)line.kind, lines[_i].text);
    ck_assert_str_eq(text_of(line.host), lines[_i].host);
    if (lines[_i].time != NULL)
        ck_assert_str_eq(time_of(line.stamp), lines[_i].time);
}
END_TEST

START_TEST(json_of_others_is_foreign)
{
    static const char *const lines[] = {
        "{\"log\":\"sshd[1]: postfix/smtpd[10]: " MESSAGE "\"}",
        "Nov 23 03:30:52 mx app[1]: {\"log\":\"Nov 23 03:30:52 mx postfix/smtpd[10]: " MESSAGE "\"}",
        "2026-11-23T03:30:52Z app {\"log\":\"postfix/smtpd[10]: " MESSAGE "\"}",
        "{\"MESSAGE\":\"" MESSAGE "\",\"SYSLOG_IDENTIFIER\":\"app\"}",
        "{\"log\":\"postfix/smtpd[10]: " MESSAGE,
        "{\"log\":\"postfix/smtpd[10]: " MESSAGE "\"",
        "{\"log\":\"\\",
        "{\"log\":",
        "{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[{[",
        "{}",
        "{",
    };

    ck_assert_msg(parse(lines[_i]).kind == POSTFIX_LOG_FOREIGN, "%s", lines[_i]);
}
END_TEST

START_TEST(nul_bytes_before_a_line_are_passed_over)
{
    static const char text[] = "\0\0\0\0Nov 23 03:30:52 mx postfix/smtpd[10]: " MESSAGE;
    struct postfix_log_line line;

    postfix_log_parse(text, sizeof text - 1, &line);
    ck_assert_int_eq(line.kind, POSTFIX_LOG_BORN);
    postfix_log_parse(text, 4, &line);
    ck_assert_int_eq(line.kind, POSTFIX_LOG_FOREIGN);
}
END_TEST

/* "warning: 4AAA…: to=<…>" is no delivery, whatever it goes on to say. */
START_TEST(a_warning_of_postfix_is_no_delivery)
{
    static const char *const words[] = {"warning: ", "error: ", "fatal: ", "panic: "};
    char text[512];

    snprintf(text, sizeof text,
             "Nov 23 03:30:52 mx postfix/smtp[10]: %s4cYtGz1Nz3z9rN8: to=<c@d.example>, dsn=5.1.1, "
             "status=bounced (no)",
             words[_i]);
    ck_assert_int_eq(parse(text).kind, POSTFIX_LOG_OTHER);
}
END_TEST

UNIT_SUITE(log_prefix_suite)
{
    Suite *suite = suite_create("log_prefix");
    TCase *tcase = tcase_create("log_prefix");
    tcase_add_checked_fixture(tcase, begin, begin);

    tcase_add_loop_test(tcase, a_prefix_in_use_is_read, 0, (int)(sizeof prefixes / sizeof prefixes[0]));
    tcase_add_loop_test(tcase, a_line_of_another_program_is_that_programs, 0, 23);
    tcase_add_loop_test(tcase, json_of_a_log_shipper_is_read, 0, 8);
    tcase_add_loop_test(tcase, json_of_others_is_foreign, 0, 11);
    tcase_add_loop_test(tcase, a_warning_of_postfix_is_no_delivery, 0, 4);
    tcase_add_test(tcase, nul_bytes_before_a_line_are_passed_over);
    suite_add_tcase(suite, tcase);
    return suite;
}
