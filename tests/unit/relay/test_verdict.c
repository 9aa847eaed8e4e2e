#include "relay/verdict.h"

#include <stdio.h>
#include <string.h>

#include "suites.h"

#define PEER "tpsp.example[192.0.2.1]:587"

static struct verdict_rules *rules;

static void open_rules(void)
{
    rules = verdict_rules_new(NULL);
}

static void close_rules(void)
{
    verdict_rules_free(rules);
}

static struct outcome judge_login(enum relay_stage stage, int code, const char *text, bool logged_in)
{
    struct config_tpsp tpsp = {.host = "tpsp.example", .service = "auto"};
    struct relay_request request = {.tpsp = &tpsp, .sender = "s@example.com", .recipient = "r@example.net"};
    struct verdict_facts facts = {.request = &request,
                                  .stage = stage,
                                  .content = stage == RELAY_DATA,
                                  .logged_in = logged_in,
                                  .peer = PEER};
    struct reply reply = {.code = code, .lines = 1, .text_length = strlen(text)};
    struct reply_verdict said;
    struct outcome outcome;

    snprintf(reply.text, sizeof reply.text, "%s", text);
    verdict_reply(&outcome, rules, &facts, &reply, &said);
    ck_assert_ptr_nonnull(said.rule);
    return outcome;
}

static struct outcome judge(enum relay_stage stage, int code, const char *text)
{
    return judge_login(stage, code, text, true);
}

START_TEST(access_denied_without_a_login_is_about_the_login)
{
    const char *text = "5.7.1 <r@example.net>: Recipient address rejected: Access denied";

    ck_assert_int_eq(judge_login(RELAY_RCPT, 554, text, false).cause, CAUSE_ACCOUNT);
    ck_assert_int_eq(judge_login(RELAY_RCPT, 554, text, false).class, OUTCOME_DEFERRED);
    ck_assert_int_eq(judge_login(RELAY_RCPT, 554, text, true).cause, CAUSE_MESSAGE);
    ck_assert_int_eq(judge_login(RELAY_RCPT, 554, text, true).class, OUTCOME_DROPPED);
}
END_TEST

START_TEST(a_5xx_before_mail_defers_whatever_it_says)
{
    static const enum relay_stage stages[] = {RELAY_GREETING, RELAY_EHLO, RELAY_STARTTLS, RELAY_AUTH};
    static const char *const words[] = {"5.3.2 go away", "5.3.2 go away, <r@example.net> user unknown",
                                        "5.3.2 go away, this is spam"};

    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        for (size_t j = 0; j < sizeof words / sizeof words[0]; j++) {
            struct outcome outcome = judge(stages[i], 554, words[j]);
            ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
            ck_assert_int_eq(outcome.cause, stages[i] == RELAY_AUTH ? CAUSE_OURS : CAUSE_HOST);
            ck_assert_int_eq(outcome.smtp_code, 554);
            ck_assert_str_eq(outcome.enhanced, "4.3.2");
            ck_assert_ptr_nonnull(strstr(outcome.text, "554 5.3.2 go away"));
            ck_assert_ptr_nonnull(strstr(outcome.text, PEER));
        }
    ck_assert_int_eq(strncmp(judge(RELAY_AUTH, 535, "no").text, "Auth rejected", 13), 0);
    /* the login is right, and the account may not send */
    ck_assert_int_eq(judge(RELAY_AUTH, 535, "Authentication failed: credits exceeded").cause, CAUSE_ACCOUNT);
}
END_TEST

static const struct {
    enum relay_stage stage;
    int code;
    const char *text;
    enum outcome_class class;
    enum outcome_cause cause;
} transactions[] = {
    {RELAY_RCPT, 550, "5.1.1 no such user", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {RELAY_RCPT, 450, "4.2.0 greylisted", OUTCOME_DEFERRED, CAUSE_MESSAGE},
    {RELAY_RCPT, 550, "", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {RELAY_MAIL, 552, "5.3.4 too big", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {RELAY_DATA, 554, "5.7.1 spam", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {RELAY_DATA, 451, "4.7.0 later", OUTCOME_DEFERRED, CAUSE_MESSAGE},
    {RELAY_DATA, 451, "4.3.0 later", OUTCOME_DEFERRED, CAUSE_MESSAGE},
    /* our login, our permission */
    {RELAY_MAIL, 421, "4.3.2 shutting down", OUTCOME_DEFERRED, CAUSE_HOST},
    {RELAY_RCPT, 421, "4.7.0 too many connections", OUTCOME_DEFERRED, CAUSE_SESSION},
    {RELAY_DATA, 421, "bye", OUTCOME_DEFERRED, CAUSE_HOST},
    {RELAY_MAIL, 530, "5.7.0 Authentication required", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    {RELAY_MAIL, 530, "5.7.0 Must issue a STARTTLS command first", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    {RELAY_MAIL, 535, "5.7.8 credentials", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    {RELAY_MAIL, 538, "5.7.11 encryption", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    {RELAY_MAIL, 454, "4.7.0 Temporary authentication failure", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    {RELAY_MAIL, 550, "5.7.57 Client was not authenticated", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    {RELAY_RCPT, 554, "5.7.1 <r@example.net>: Relay access denied", OUTCOME_DEFERRED, CAUSE_HOST},
    {RELAY_RCPT, 550, "Relaying denied", OUTCOME_DEFERRED, CAUSE_HOST},
    {RELAY_MAIL, 503, "5.5.1 Error: send AUTH command first", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    {RELAY_DATA, 550, "5.4.5 Daily user sending limit exceeded", OUTCOME_DEFERRED, CAUSE_ACCOUNT},
    /* the authentication of the message is not ours */
    {RELAY_DATA, 550, "5.7.26 Unauthenticated email is not accepted due to DMARC policy", OUTCOME_DROPPED,
     CAUSE_MESSAGE},
    {RELAY_MAIL, 550, "5.7.23 SPF validation failed", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {RELAY_DATA, 550, "5.7.1 the message must authenticate", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {RELAY_MAIL, 553, "5.7.1 <s@example.com>: Sender address rejected: not owned by user x", OUTCOME_DROPPED,
     CAUSE_MESSAGE},
    /* nonsense is never a success */
    {RELAY_MAIL, 354, "what", OUTCOME_DEFERRED, CAUSE_SESSION},
    {RELAY_DATA, 250, "before the message", OUTCOME_DEFERRED, CAUSE_SESSION},
};

START_TEST(the_messages_trouble_drops_and_all_other_defers)
{
    struct outcome outcome = judge(transactions[_i].stage, transactions[_i].code, transactions[_i].text);

    ck_assert_msg(outcome.class == transactions[_i].class && outcome.cause == transactions[_i].cause,
                  "%d %s: class %d, cause %d", transactions[_i].code, transactions[_i].text,
                  (int)outcome.class, (int)outcome.cause);
    ck_assert_int_eq(outcome.smtp_code, transactions[_i].code);
}
END_TEST

START_TEST(words_of_the_server_about_the_message_are_kept_as_they_are)
{
    ck_assert_str_eq(judge(RELAY_RCPT, 550, "5.1.1 no such user").text, "5.1.1 no such user");
}
END_TEST

START_TEST(a_lost_connection_or_timeout_defers_and_says_where)
{
    struct outcome outcome;

    verdict_transport(&outcome, RELAY_MAIL, TRANSPORT_TIMEOUT, "no answer in time", PEER);
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(outcome.cause, CAUSE_UNREACHABLE);
    ck_assert_str_eq(outcome.text, "Timeout at MAIL FROM with " PEER ": no answer in time");
    verdict_transport(&outcome, RELAY_CONNECT, TRANSPORT_FAILED, "Connection refused", PEER);
    ck_assert_int_eq(strncmp(outcome.text, "Connection refused by " PEER, 45), 0);
}
END_TEST

START_TEST(in_doubt_says_that_it_may_have_been_accepted)
{
    struct outcome outcome;

    verdict_in_doubt(&outcome, "Timeout", PEER);
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(outcome.cause, CAUSE_IN_DOUBT);
    ck_assert_ptr_nonnull(strstr(outcome.text, "may have been accepted"));
}
END_TEST

UNIT_SUITE(verdict_suite)
{
    Suite *suite = suite_create("verdict");
    TCase *tcase = tcase_create("judge");

    tcase_add_checked_fixture(tcase, open_rules, close_rules);
    tcase_add_test(tcase, access_denied_without_a_login_is_about_the_login);
    tcase_add_test(tcase, a_5xx_before_mail_defers_whatever_it_says);
    tcase_add_loop_test(tcase, the_messages_trouble_drops_and_all_other_defers, 0,
                        sizeof transactions / sizeof transactions[0]);
    tcase_add_test(tcase, words_of_the_server_about_the_message_are_kept_as_they_are);
    tcase_add_test(tcase, a_lost_connection_or_timeout_defers_and_says_where);
    tcase_add_test(tcase, in_doubt_says_that_it_may_have_been_accepted);
    suite_add_tcase(suite, tcase);
    return suite;
}
