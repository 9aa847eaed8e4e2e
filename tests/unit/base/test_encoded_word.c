#include "base/encoded_word.h"

#include <string.h>

#include "suites.h"

static const struct {
    const char *text, *expected;
} cases[] = {
    {"Hello", "Hello"},
    {"", ""},
    {"=?utf-8?B?w6TDtsO8?=", "äöü"},
    {"Re: =?UTF-8?q?=C3=A4_b?= c", "Re: ä b c"},
    {"=?iso-8859-1*de?Q?=E4?=", "ä"},
    {"=?utf-8?Q?a?= =?utf-8?Q?b?=  c", "ab  c"},
    {"=?utf-8?Q?a?= x =?utf-8?Q?b?=", "a x b"},
    {"=?koi8-r?B?zw==?=", "=?koi8-r?B?zw==?="},
    {"=?utf-8?x?abc?=", "=?utf-8?x?abc?="},
    {"=?utf-8?Q?open", "=?utf-8?Q?open"},
    {"=?utf-8?Q?=E4?=", "\xef\xbf\xbd"},
    {"=?utf-8?Q?=0A=1B[2J?=", "  [2J"},
    {"=?utf-8?Q?=4?=", "=4"},
    {"=?", "=?"},
    {"=??", "=??"},
};

START_TEST(an_encoded_word_becomes_what_it_stands_for)
{
    char buffer[64];
    size_t length = encoded_word_decode(buffer, sizeof buffer, cases[_i].text);

    ck_assert_str_eq(buffer, cases[_i].expected);
    ck_assert_uint_eq(length, strlen(cases[_i].expected));
}
END_TEST

START_TEST(what_does_not_fit_is_left_out)
{
    char buffer[4];

    ck_assert_uint_eq(encoded_word_decode(buffer, sizeof buffer, "=?utf-8?B?w6TDtsO8?="), 2);
    ck_assert_str_eq(buffer, "ä");
}
END_TEST

UNIT_SUITE(encoded_word_suite)
{
    Suite *suite = suite_create("encoded_word");
    TCase *tests = tcase_create("encoded_word");

    tcase_add_loop_test(tests, an_encoded_word_becomes_what_it_stands_for, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(tests, what_does_not_fit_is_left_out);
    suite_add_tcase(suite, tests);
    return suite;
}
