#include "base/helo_name.h"

#include "base/punycode.h"
#include "suites.h"

START_TEST(a_name_is_one_by_rfc_5321_or_it_is_none)
{
    static const char *const valid[] = {
        "mail.example.com",      "a", "a-b.c0", "0.example", "[192.0.2.1]", "[IPv6:2001:db8::1]",
        "xn--mnchen-3ya.example"};
    static const char *const invalid[] = {"",           ".",          "a..b",   "-x.example",
                                          "x-.example", "a.b.",       "a_b.c",  "[192.0.2]",
                                          "[::1]",      "[IPv6:::g]", "a b",    "[192.0.2.1",
                                          "[]",         "[IPv6:]",    "a.-b.c", "m\xc3\xbcnchen.example"};

    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        ck_assert_msg(helo_name_valid(valid[i]), "%s", valid[i]);
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        ck_assert_msg(!helo_name_valid(invalid[i]), "%s", invalid[i]);
}
END_TEST

START_TEST(a_public_name_is_not_of_this_machine_alone)
{
    static const char *const own[] = {
        "localhost", "localhost.localdomain", "myhost", "x.local",          "printer.lan",
        "192.0.2.1", "[192.0.2.1]",           "a..b",   "mail.example.com."};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        ck_assert_msg(!helo_name_is_public(own[i]), "%s", own[i]);
    ck_assert(helo_name_is_public("mail.example.com"));
}
END_TEST

START_TEST(a_domain_has_another_form_or_none)
{
    static const char *const pairs[][2] = {
        {"m\xc3\xbcnchen.example", "xn--mnchen-3ya.example"},
        {"www.b\xc3\xbc"
         "cher.example",
         "www.xn--bcher-kva.example"},
        {"\xe4\xbe\x8b\xe5\xad\x90.example", "xn--fsqu00a.example"},
        {"\xd0\xbf\xd0\xbe\xd1\x87\xd1\x82\xd0\xb0.\xd1\x80\xd1\x84", "xn--80a1acny.xn--p1ai"},
    };
    char out[256];

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        ck_assert(punycode_other_form(pairs[i][0], out, sizeof out));
        ck_assert_str_eq(out, pairs[i][1]);
        ck_assert(punycode_other_form(pairs[i][1], out, sizeof out));
        ck_assert_str_eq(out, pairs[i][0]);
    }
    ck_assert(!punycode_other_form("example.org", out, sizeof out));
    ck_assert(!punycode_other_form("xn--\xc3\xbc.example", out, sizeof out));
    ck_assert(!punycode_other_form("xn--99999999999.example", out, sizeof out));
    ck_assert(!punycode_other_form("a..b", out, sizeof out));
    ck_assert(!punycode_other_form("m\xc3\xbcnchen.example", out, 10));
}
END_TEST

UNIT_SUITE(helo_name_suite)
{
    Suite *suite = suite_create("helo_name");
    TCase *tcase = tcase_create("names");

    tcase_add_test(tcase, a_name_is_one_by_rfc_5321_or_it_is_none);
    tcase_add_test(tcase, a_public_name_is_not_of_this_machine_alone);
    tcase_add_test(tcase, a_domain_has_another_form_or_none);
    suite_add_tcase(suite, tcase);
    return suite;
}
