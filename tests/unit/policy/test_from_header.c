#include "policy/from_header.h"

#include <stdlib.h>
#include <string.h>

#include "suites.h"

static const struct {
    const char *value, *domain; /* NULL: none */
} cases[] = {
    {"user@example.com", "example.com"},
    {"<user@example.com>", "example.com"},
    {"User <user@Example.COM>", "example.com"},
    {"\"Doe, John\" <john@example.com>", "example.com"},
    {"Doe, John <john@example.com>", "example.com"},
    {"user@example.com (John @ home)", "example.com"},
    {"(a@b.example) user@example.com", "example.com"},
    {"user@example.com.", "example.com"},
    /* several addresses: the first; groups: their first member, or none */
    {"a@one.example, b@two.example", "one.example"},
    {"A <a@one.example>, B <b@two.example>", "one.example"},
    {"Team: a@one.example, b@two.example;", "one.example"},
    {"Undisclosed: ;", NULL},
    {"Empty:;, a@one.example", "one.example"},
    /* quoted strings, and what they hide */
    {"\"a@evil.example\" <user@example.com>", "example.com"},
    {"\"<a@evil.example>\" <user@example.com>", "example.com"},
    {"\"a \\\" <a@evil.example>\" <user@example.com>", "example.com"},
    {"\"strange@local\"@example.com", "example.com"},
    {"a@evil.example <user@example.com>", "example.com"},
    {"a@evil.example\t<user@example.com>", "example.com"},
    {"user@example.com <>", NULL},
    /* comments, nested and with quoted pairs */
    {"user (c1 (nested) \\) <a@evil.example>) @ (c2) example (c3) . (c4) com", "example.com"},
    {"(<a@evil.example>) user@example.com", "example.com"},
    /* encoded words */
    {"=?utf-8?q?J=C3=BCrgen?= <user@example.com>", "example.com"},
    {"=?utf-8?q?a@evil.example?= <user@example.com>", "example.com"},
    {"=?utf-8?b?YUBldmlsLmV4YW1wbGU=?=", NULL},
    /* obsolete syntax */
    {"User <@relay.example,@other.example:user@example.com>", "example.com"},
    {"User < user . name @ example . com >", "example.com"},
    {"John Q. Public <user@example.com>", "example.com"},
    {", ,user@example.com", "example.com"},
    /* never closed */
    {"\"User <user@example.com>", "example.com"},
    {"User (work <user@example.com>", "example.com"},
    {"User <user@example.com", "example.com"},
    {"User <<user@example.com>>", "example.com"},
    {"<@relay.example user@example.com>", "example.com"},
    /* internationalised */
    {"user@b\xc3\xbc"
     "cher.example",
     "xn--bcher-kva.example"},
    {"user@B\xc3\x9c"
     "CHER.example",
     "xn--bcher-kva.example"},
    {"user@xn--bcher-kva.example", "xn--bcher-kva.example"},
    {"user@b\xfc"
     "cher.example",
     NULL},
    /* literals */
    {"user@[192.0.2.1]", "[192.0.2.1]"},
    {"user@[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"},
    {"user@[192.0.2.1", NULL},
    {"user@[192.0.2.1\n]", NULL},
    {"user@[]", NULL},
    /* no mailbox */
    {"", NULL},
    {"root", NULL},
    {"@example.com", NULL},
    {"user@", NULL},
    {"user@.", NULL},
    {"user@exa..mple.com", NULL},
    {"user@exa!mple.com", NULL},
    {"user@example.com=evil.example", NULL},
    {"<>", NULL},
    {"\\", NULL},
    {"\"\\", NULL},
    {"(\\", NULL},
    /* a broken mailbox does not hide a sound one */
    {"broken@, user@example.com", "example.com"},
};

START_TEST(the_sender_domain_is_that_of_the_first_mailbox)
{
    char domain[FROM_DOMAIN_SIZE] = "none";
    const char *value = cases[_i].value;
    bool found = from_header_domain(value, strlen(value), domain) == FROM_DOMAIN_FOUND;

    ck_assert_msg(found == (cases[_i].domain != NULL), "%s: %s", value, found ? domain : "none");
    if (found)
        ck_assert_msg(strcmp(domain, cases[_i].domain) == 0, "%s: %s", value, domain);
}
END_TEST

START_TEST(a_field_cut_anywhere_is_survived)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t length = 0; length < strlen(cases[i].value); length++) {
            char domain[FROM_DOMAIN_SIZE];
            char *exact = malloc(length ? length : 1); /* so that ASan and valgrind see the end */
            memcpy(exact, cases[i].value, length);
            if (from_header_domain(exact, length, domain) == FROM_DOMAIN_FOUND)
                ck_assert_uint_gt(strlen(domain), 0);
            free(exact);
        }
}
END_TEST

START_TEST(a_domain_longer_than_dns_allows_is_none)
{
    char value[400] = "a@";
    char domain[FROM_DOMAIN_SIZE];

    for (int label = 0; label < 5; label++) {
        memset(value + strlen(value), 'x', 60);
        memcpy(value + 2 + label * 61 + 60, ".", 2);
    }
    ck_assert_int_eq(from_header_domain(value, 2 + 4 * 61, domain), FROM_DOMAIN_FOUND);
    ck_assert_int_eq(from_header_domain(value, strlen(value), domain), FROM_DOMAIN_NONE);
    memset(value + 2, 'x', 64);
    ck_assert_int_eq(from_header_domain(value, 2 + 64, domain), FROM_DOMAIN_NONE);
}
END_TEST

START_TEST(a_huge_hostile_field_takes_no_time)
{
    static const char *const patterns[] = {"(", "\"",   "<@",   "a@[", "a@",       "(\\",
                                           "<", "a@b,", "a@b.", "a@(", "\xc3\xbc", "a@\xc3\xbc"};
    size_t size = unit_tests_under_valgrind() ? 1u << 13 : 2u << 20;
    char *value = malloc(size);
    char domain[FROM_DOMAIN_SIZE];

    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        size_t length = strlen(patterns[p]);
        for (size_t i = 0; i < size; i++)
            value[i] = patterns[p][i % length];
        from_header_domain(value, size, domain); /* quadratic work would meet the time limit of the test */
    }
    free(value);
}
END_TEST

UNIT_SUITE(from_header_suite)
{
    Suite *suite = suite_create("from_header");
    TCase *tcase = tcase_create("from_header");

    tcase_add_loop_test(tcase, the_sender_domain_is_that_of_the_first_mailbox, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, a_field_cut_anywhere_is_survived);
    tcase_add_test(tcase, a_domain_longer_than_dns_allows_is_none);
    tcase_add_test(tcase, a_huge_hostile_field_takes_no_time);
    suite_add_tcase(suite, tcase);
    return suite;
}
