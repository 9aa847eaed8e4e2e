#include "delivery/status.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites.h"

START_TEST(of_a_success_the_uuid_comes_first)
{
    struct outcome outcome;

    outcome_from_reply(&outcome, CAUSE_NONE, 250, "2.0.0 Ok: queued as X", 21);
    struct delivery_result result =
        status_result(&(struct status_facts){.outcome = &outcome, .uuid = "u-u-i-d", .tpsp = "primary"});
    ck_assert_int_eq(result.status, 0);
    ck_assert_str_eq(result.text, "2.0.0 uuid=u-u-i-d tpsp=primary 250 2.0.0 Ok: queued as X");
    ck_assert(result_valid(&result));
}
END_TEST

START_TEST(a_refusal_names_the_host_and_the_command)
{
    struct relay_result relay = {
        .stage = RELAY_RCPT, .peer = "mx.example.net[192.0.2.1]:587", .engine = "libesmtp"};

    outcome_from_reply(&relay.outcome, CAUSE_MESSAGE, 550, "5.1.1 unknown", 13);
    struct delivery_result result =
        status_result(&(struct status_facts){.outcome = &relay.outcome, .relay = &relay});
    ck_assert_int_eq(result.status, 69);
    ck_assert_str_eq(
        result.text,
        "5.1.1 host mx.example.net[192.0.2.1]:587 said: 550 5.1.1 unknown (in reply to RCPT TO)");
    ck_assert(result_valid(&result));
}
END_TEST

START_TEST(our_own_words_stand_alone)
{
    struct outcome outcome;

    outcome_set(&outcome, OUTCOME_DROPPED, CAUSE_POLICY, 0, "5.7.1",
                "No verified return path domain configured for sender domain");
    struct delivery_result result = status_result(&(struct status_facts){.outcome = &outcome});
    ck_assert_str_eq(result.text, "5.7.1 No verified return path domain configured for sender domain");
    ck_assert_int_eq(result.status, 69);
}
END_TEST

START_TEST(only_what_nobody_else_said_is_own_trouble)
{
    static const struct {
        enum outcome_cause cause;
        int code;
        const char *enhanced;
        bool own;
    } cases[] = {
        {CAUSE_OURS, 0, "4.3.0", true},         {CAUSE_OURS, 0, "4.3.5", true},
        {CAUSE_OURS, 0, "4.4.3", false},        {CAUSE_OURS, 454, "4.3.0", false}, /* a refused login */
        {CAUSE_MESSAGE, 451, "4.3.2", false},   {CAUSE_HOST, 421, "4.3.2", false},
        {CAUSE_UNREACHABLE, 0, "4.3.0", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome outcome;
        outcome_set(&outcome, OUTCOME_DEFERRED, cases[i].cause, cases[i].code, cases[i].enhanced, "words");
        ck_assert_msg(status_result(&(struct status_facts){.outcome = &outcome}).own_trouble == cases[i].own,
                      "%zu", i);
    }
}
END_TEST

START_TEST(every_outcome_makes_a_valid_result)
{
    struct outcome outcome;
    char flood[OUTCOME_TEXT_SIZE * 2];

    memset(flood, _i % 2 ? '\n' : 'x', sizeof flood - 1);
    flood[sizeof flood - 1] = '\0';
    outcome_set(&outcome, (enum outcome_class)(_i / 2), CAUSE_NONE, 0, "nonsense", "%s", flood);
    struct delivery_result result =
        status_result(&(struct status_facts){.outcome = &outcome, .uuid = "u", .tpsp = "t"});
    ck_assert(result_valid(&result));
}
END_TEST

UNIT_SUITE(status_suite)
{
    Suite *suite = suite_create("status");
    TCase *tcase = tcase_create("status");

    tcase_add_test(tcase, of_a_success_the_uuid_comes_first);
    tcase_add_test(tcase, a_refusal_names_the_host_and_the_command);
    tcase_add_test(tcase, our_own_words_stand_alone);
    tcase_add_test(tcase, only_what_nobody_else_said_is_own_trouble);
    tcase_add_loop_test(tcase, every_outcome_makes_a_valid_result, 0, 6);
    suite_add_tcase(suite, tcase);
    return suite;
}
