#include "agent/transport_watch.h"

#include <string.h>

#include "suites.h"

#define STAMP "Nov 26 10:56:35 mx "
#define AWAY STAMP "postfix/qmgr[1]: warning: connect to transport private/sendpst: No such file or directory"
#define FATAL STAMP "postfix/pipe[2]: fatal: get_service_attr: unknown username: sendpots"
#define BROKEN STAMP "postfix/qmgr[1]: warning: private/sendpost socket: malformed response"
#define OURS(dsn, status)                                                                     \
    STAMP "postfix/pipe[2]: 4AAAAA: to=<jane@example.com>, relay=sendpost, delay=1, dsn=" dsn \
          ", status=" status
#define KEPT OURS("4.3.5", "deferred (config.yaml:3: unknown key jane@example.com )")

static struct transport_watch watch;

static void begin(void)
{
    watch = (struct transport_watch){0};
}

static void look(const char *text, int64_t now_ms)
{
    struct postfix_log_line line;

    postfix_log_parse(text, strlen(text), &line);
    transport_watch_look(&watch, &line, text, strlen(text), now_ms);
}

static bool says(const char *words, int64_t now_ms)
{
    return strstr(transport_watch_trouble(&watch, now_ms), words) != NULL;
}

START_TEST(a_transport_that_is_not_there_is_named_until_it_delivers)
{
    look(AWAY, 1000);
    ck_assert(says("transport sendpst is not there", 1000) && says("No such file", 1000));
    look(OURS("2.0.0", "sent (ok)"), 2000); /* another's */
    ck_assert(says("sendpst", 2000));
    look(STAMP "postfix/pipe[2]: 4AAAAA: to=<a@b.c>, relay=sendpst, delay=1, dsn=2.0.0, status=sent (ok)",
         3000);
    ck_assert_str_eq(transport_watch_trouble(&watch, 3000), "");
}
END_TEST

START_TEST(a_transport_that_nobody_speaks_of_any_more_is_forgotten)
{
    look(AWAY, 1000);
    ck_assert(says("sendpst", 4000 * 1000));
    ck_assert_str_eq(transport_watch_trouble(&watch, 2 * 3600 * 1000), "");
}
END_TEST

START_TEST(what_a_transport_died_of_is_told)
{
    look(FATAL, 1000);
    ck_assert_str_eq(transport_watch_trouble(&watch, 1000), "");
    look(BROKEN, 1000);
    ck_assert(says("sendpost ends as soon as it is started", 1000) &&
              says("unknown username: sendpots", 1000));
}
END_TEST

START_TEST(trouble_of_our_own_counts_when_it_stays)
{
    look(KEPT, 1000);
    ck_assert_str_eq(transport_watch_trouble(&watch, 1000), "");
    look(OURS("4.4.1", "deferred (connect: refused)"), 1000);
    look(KEPT, 1000);
    ck_assert_str_eq(transport_watch_trouble(&watch, 1000), "");
    look(KEPT, 1000);
    ck_assert(says("sendpost keeps all mail in the queue", 1000) && says("config.yaml:3: unknown key", 1000));
    ck_assert(!says("jane", 1000));
    look(OURS("2.0.0", "sent (ok)"), 1000);
    ck_assert_str_eq(transport_watch_trouble(&watch, 1000), "");
}
END_TEST

static const char *const innocent[] = {
    OURS("4.3.0", "deferred (host mx.example.net[192.0.2.1]:25 said: 451 4.3.0 not now (in reply to DATA))"),
    OURS("4.3.0", "deferred (Service refused by mx.example.net[192.0.2.1]:25: 421 4.3.0 full)"),
    OURS("4.3.0", "deferred (another process is delivering this message to this recipient right now)"),
    STAMP "postfix/smtpd[1]: warning: connect to transport private/x: No such file or directory",
    STAMP "postfix/qmgr[1]: 4AAAAA: from=<\"warning: connect to transport private/x: y\"@b>, size=1, nrcpt=1 "
          "(queue active)",
    STAMP "sshd[1]: warning: connect to transport private/x: y",
    STAMP "postfix/qmgr[1]: warning: connect to transport private/x",
    STAMP "postfix/qmgr[1]: warning: connect to transport private/"
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: y",
    STAMP "postfix/pipe[2]: 4AAAAA: to=<a@b.c>, relay=dovecot, delay=1, dsn=4.3.0, status=deferred "
          "(temporary failure)",
};

START_TEST(what_others_say_is_no_trouble)
{
    look(innocent[_i], 1000);
    look(innocent[_i], 1000);
    ck_assert_str_eq(transport_watch_trouble(&watch, 1000), "");
}
END_TEST

UNIT_SUITE(transport_watch_suite)
{
    Suite *suite = suite_create("transport_watch");
    TCase *tcase = tcase_create("transport_watch");

    tcase_add_checked_fixture(tcase, begin, NULL);
    tcase_add_test(tcase, a_transport_that_is_not_there_is_named_until_it_delivers);
    tcase_add_test(tcase, a_transport_that_nobody_speaks_of_any_more_is_forgotten);
    tcase_add_test(tcase, what_a_transport_died_of_is_told);
    tcase_add_test(tcase, trouble_of_our_own_counts_when_it_stays);
    tcase_add_loop_test(tcase, what_others_say_is_no_trouble, 0, sizeof innocent / sizeof *innocent);
    suite_add_tcase(suite, tcase);
    return suite;
}
