#include "base/address.h"

#include <string.h>

#include "suites.h"

static const struct {
    const char *address;
    bool valid;
} cases[] = {
    {"user@example.com", true},
    {"user@[192.0.2.1]", true},
    {"user@[IPv6:2001:db8::1]", true},
    {"\"a b\"@example.com", true},
    {"\"a\\\"<b\"@example.com", true},
    {"a@b@example.com", true}, /* Postfix lets it through; the last @ divides */
    {"j\xc3\xbcrgen@example.com", true},
    {"", false},
    {"user", false},
    {"user@", false},
    {"@example.com", false},
    {"a b@example.com", false},
    {"a<b@example.com", false},
    {"user@example.com>", false},
    {"user@exa mple.com", false},
    {"user@example.com\r\nRSET", false},
    {"us\ner@example.com", false},
    {"\"open@example.com", false},
    {"\"a\\\r\"@example.com", false},
    {"\"a\\\nRSET\"@example.com", false},
    {"\"a\\\xc3\xbc\"@example.com", true},
    {"j\xfcrgen@example.com", false},
    {"\xc0\xae@example.com", false},
};

START_TEST(an_address_fit_for_smtp_is_told_from_one_that_is_not)
{
    const char *why;
    ck_assert_msg(address_valid(cases[_i].address, &why) == cases[_i].valid, "%s: %s", cases[_i].address,
                  why ? why : "valid");
    ck_assert((why == NULL) == cases[_i].valid);
}
END_TEST

START_TEST(the_longest_address_passes_and_one_more_byte_does_not)
{
    char address[ADDRESS_SIZE + 1];
    const char *why;

    memset(address, 'a', sizeof address);
    memcpy(address + ADDRESS_SIZE - 1 - 4, "@b.c", 5);
    ck_assert(address_valid(address, &why));
    memcpy(address + ADDRESS_SIZE - 4, "@b.c", 5);
    address[ADDRESS_SIZE - 1 - 4] = 'a';
    ck_assert(!address_valid(address, &why));
}
END_TEST

START_TEST(addresses_compare_without_regard_to_case)
{
    ck_assert(address_equal("user@Example.COM", "user@example.com"));
    ck_assert(address_equal("User@example.com", "user@example.com"));
    ck_assert(!address_equal("user@example.com", "user@example.org"));
}
END_TEST

UNIT_SUITE(address_suite)
{
    Suite *suite = suite_create("address");
    TCase *tcase = tcase_create("address");

    tcase_add_loop_test(tcase, an_address_fit_for_smtp_is_told_from_one_that_is_not, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, the_longest_address_passes_and_one_more_byte_does_not);
    tcase_add_test(tcase, addresses_compare_without_regard_to_case);
    suite_add_tcase(suite, tcase);
    return suite;
}
