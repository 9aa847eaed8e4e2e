#include "base/outcome.h"

#include <string.h>

#include "suites.h"

START_TEST(a_reply_keeps_its_enhanced_code_when_the_class_agrees)
{
    struct outcome outcome;

    outcome_from_reply(&outcome, CAUSE_MESSAGE, 550, "5.1.1 no such user", 18);
    ck_assert_int_eq(outcome.class, OUTCOME_DROPPED);
    ck_assert_str_eq(outcome.enhanced, "5.1.1");
    ck_assert_str_eq(outcome.text, "5.1.1 no such user");

    outcome_from_reply(&outcome, CAUSE_MESSAGE, 450, "5.1.1 no such user", 18);
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_str_eq(outcome.enhanced, "4.0.0");
}
END_TEST

START_TEST(what_is_no_reply_code_defers)
{
    struct outcome outcome;

    outcome_from_reply(&outcome, CAUSE_HOST, 354, "go ahead", 8);
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    outcome_from_reply(&outcome, CAUSE_HOST, 0, "", 0);
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_str_eq(outcome.enhanced, "4.0.0");
}
END_TEST

START_TEST(text_is_one_line_and_bounded)
{
    struct outcome outcome;
    char flood[4000];

    memset(flood, 'x', sizeof flood);
    outcome_from_reply(&outcome, CAUSE_MESSAGE, 550, flood, sizeof flood);
    ck_assert_uint_eq(strlen(outcome.text), OUTCOME_TEXT_SIZE - 1);
    outcome_local(&outcome, "4.3.0", "a\r\nb\x1b[31m");
    ck_assert_str_eq(outcome.text, "a  b [31m");
}
END_TEST

START_TEST(an_outcome_may_be_rewritten_from_its_own_text)
{
    struct outcome outcome;

    outcome_local(&outcome, "4.3.0", "disk full");
    outcome_local(&outcome, outcome.enhanced, "store: %s", outcome.text);
    ck_assert_str_eq(outcome.text, "store: disk full");
    ck_assert_str_eq(outcome.enhanced, "4.3.0");
}
END_TEST

static const struct {
    const char *text;
    size_t length;
} codes[] = {{"5.1.1 no", 5}, {"4.10.100", 8}, {"2.0.0", 5},  {"5.1.1234", 0},  {"5.1", 0},
             {"5..1 x", 0},   {"3.1.1 x", 0},  {"5.1.1x", 0}, {"5.1.1\r\n", 5}, {"", 0}};

START_TEST(an_enhanced_code_is_recognised_exactly)
{
    ck_assert_uint_eq(outcome_enhanced_length(codes[_i].text, strlen(codes[_i].text)), codes[_i].length);
}
END_TEST

UNIT_SUITE(outcome_suite)
{
    Suite *suite = suite_create("outcome");
    TCase *tcase = tcase_create("outcome");

    tcase_add_test(tcase, a_reply_keeps_its_enhanced_code_when_the_class_agrees);
    tcase_add_test(tcase, what_is_no_reply_code_defers);
    tcase_add_test(tcase, text_is_one_line_and_bounded);
    tcase_add_test(tcase, an_outcome_may_be_rewritten_from_its_own_text);
    tcase_add_loop_test(tcase, an_enhanced_code_is_recognised_exactly, 0, sizeof codes / sizeof codes[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
