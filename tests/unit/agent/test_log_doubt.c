#include "agent/log_doubt.h"

#include <string.h>

#include "suites.h"

static struct log_doubt doubt;

static void begin(void)
{
    doubt = (struct log_doubt){0};
}

static void look(const char *text, int times)
{
    struct postfix_log_line line;

    postfix_log_parse(text, strlen(text), &line);
    for (int i = 0; i < times; i++)
        log_doubt_look(&doubt, &line, text, strlen(text));
}

#define DELIVERY                                                                                          \
    "to=<jane@example.com>, relay=mx.example.com[192.0.2.1]:25, delay=1, dsn=2.0.0, status=sent (250 ok " \
    "jane@example.com)"
#define GOOD "Nov 23 05:29:37 mx postfix/qmgr[1]: 4AAAAA: removed"

static const char *const unread[] = {
    "%% 23.11.2026; mx; postfix/smtp[77]: 4AAAAA: " DELIVERY,
    "when=?, who=mail-out/smtp[77], what=4AAAAA: " DELIVERY,
    "Nov 23 05:29:37 mx postfix/smtp[77]: (trace 7) 4AAAAA: " DELIVERY,
    "~ postfix-out/relay/smtp: 4AAAAA: " DELIVERY,
};

START_TEST(a_log_of_a_form_that_nobody_reads_is_trouble_with_a_line)
{
    look(unread[_i], 2);
    ck_assert(!log_doubt_is_trouble(&doubt));
    look(unread[_i], 1);
    ck_assert(log_doubt_is_trouble(&doubt));
    ck_assert_ptr_nonnull(strstr(doubt.line, "4AAAAA: to=<…>, relay=mx.example.com"));
    ck_assert_ptr_null(strstr(doubt.line, "jane"));
    look(GOOD, 1);
    ck_assert(!log_doubt_is_trouble(&doubt));
}
END_TEST

START_TEST(a_log_that_is_understood_and_others_lines_are_none)
{
    look("Nov 23 05:29:37 mx sudo: root : COMMAND=/usr/sbin/postconf -c /etc/postfix/main.cf", 100);
    look("Nov 23 05:29:37 mx dovecot: imap-login: Login: user=<jane>, method=PLAIN", 100);
    look("Nov 23 05:29:37 mx systemd[1]: Started postfix.service - Postfix Mail Transport Agent.", 100);
    look("Nov 23 05:29:37 mx postfix/smtpd[1]: connect from unknown[192.0.2.9]", 1000);
    look("Nov 23 05:29:37 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.9]: 454 x; from=<a@b> "
         "to=<c@d>",
         1000);
    look("", 100);
    ck_assert(!log_doubt_is_trouble(&doubt));
    look(GOOD, 1);
    look(unread[0], 40); /* some lines of a second form, among those that are understood */
    ck_assert(!log_doubt_is_trouble(&doubt));
    look(unread[0], 40); /* and nothing else any more: the format has changed */
    ck_assert(log_doubt_is_trouble(&doubt));
}
END_TEST

UNIT_SUITE(log_doubt_suite)
{
    Suite *suite = suite_create("log_doubt");
    TCase *tcase = tcase_create("log_doubt");

    tcase_add_checked_fixture(tcase, begin, NULL);
    tcase_add_loop_test(tcase, a_log_of_a_form_that_nobody_reads_is_trouble_with_a_line, 0,
                        sizeof unread / sizeof unread[0]);
    tcase_add_test(tcase, a_log_that_is_understood_and_others_lines_are_none);
    suite_add_tcase(suite, tcase);
    return suite;
}
