#include "oauth/token_answer.h"

#include <string.h>

#include "suites.h"

static const struct {
    const char *body;
    bool ok;
    const char *access, *refresh;
    int64_t life_s;
    const char *error;
} cases[] = {
    {"{\"access_token\":\"a.b-c\",\"token_type\":\"Bearer\",\"expires_in\":3599}", true, "a.b-c", NULL, 3599,
     ""},
    {"{\"access_token\":\"a\",\"token_type\":\"bearer\",\"refresh_token\":\"r\"}", true, "a", "r", 3600, ""},
    {"{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":\"120\"}", true, "a", NULL, 120, ""},
    {"{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":-1}", true, "a", NULL, 3600, ""},
    {"{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":99999999999}", true, "a", NULL,
     TOKEN_LIFE_MAX_S, ""},
    {"{\"access_token\":\"a\"}", false, "a", NULL, 3600, ""},
    {"{\"access_token\":\"a\",\"token_type\":\"mac\"}", false, "a", NULL, 3600, ""},
    {"{\"access_token\":\"a b\",\"token_type\":\"Bearer\"}", false, NULL, NULL, 3600, ""},
    {"{\"access_token\":\"a\\r\\nAUTH\",\"token_type\":\"Bearer\"}", false, NULL, NULL, 3600, ""},
    {"{\"access_token\":\"a\\u0001\",\"token_type\":\"Bearer\"}", false, NULL, NULL, 3600, ""},
    {"{\"access_token\":\"\",\"token_type\":\"Bearer\"}", false, NULL, NULL, 3600, ""},
    {"{\"access_token\":7,\"token_type\":\"Bearer\"}", false, NULL, NULL, 3600, ""},
    {"{\"error\":\"invalid_grant\",\"access_token\":\"a\",\"token_type\":\"Bearer\"}", false, "a", NULL, 3600,
     "invalid_grant"},
    {"{\"device_code\":\"d\",\"user_code\":\"WDJB-MJHT\",\"verification_uri\":\"https://h/"
     "d\",\"expires_in\":600}",
     true, NULL, NULL, 600, ""},
    {"{\"device_code\":\"d\",\"user_code\":\"WDJB-MJHT\"}", false, NULL, NULL, 3600, ""},
    {"[]", false, NULL, NULL, 0, ""},
    {"<html>", false, NULL, NULL, 0, ""},
    {"", false, NULL, NULL, 0, ""},
    {"{\"access_token\":\"a\"", false, NULL, NULL, 0, ""},
};

static void check_text(const char *text, const char *expected)
{
    if (expected == NULL)
        ck_assert_ptr_null(text);
    else
        ck_assert_str_eq(text, expected);
}

START_TEST(an_answer_is_a_token_or_none)
{
    struct token_answer answer;

    ck_assert_msg(token_answer_parse(&answer, cases[_i].body, strlen(cases[_i].body)) == cases[_i].ok, "%s",
                  cases[_i].body);
    check_text(answer.access_token, cases[_i].access);
    check_text(answer.refresh_token, cases[_i].refresh);
    check_text(answer.error, cases[_i].error);
    if (cases[_i].life_s > 0)
        ck_assert_int_eq(answer.life_s, cases[_i].life_s);
    token_answer_clear(&answer);
}
END_TEST

START_TEST(words_become_one_line)
{
    static const char body[] = "{\"error\":\"invalid_grant\",\"error_description\":\"gone\\r\\nTrace: 1\"}";
    struct token_answer answer;

    ck_assert(!token_answer_parse(&answer, body, strlen(body)));
    ck_assert_ptr_null(strpbrk(answer.words, "\r\n"));
    ck_assert_ptr_nonnull(strstr(answer.words, "gone"));
    token_answer_clear(&answer);
    ck_assert(!token_answer_parse(&answer, NULL, 0));
}
END_TEST

UNIT_SUITE(token_answer_suite)
{
    Suite *suite = suite_create("token_answer");
    TCase *tcase = tcase_create("token_answer");

    tcase_add_loop_test(tcase, an_answer_is_a_token_or_none, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, words_become_one_line);
    suite_add_tcase(suite, tcase);
    return suite;
}
