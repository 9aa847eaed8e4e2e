#include "base/bounce_address.h"

#include <stdio.h>
#include <string.h>

#include "suites.h"

#define UUID "6f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5f"

static bool parse(struct bounce_address *address_r, const char *text)
{
    return bounce_address_parse(address_r, text, strlen(text));
}

START_TEST(what_is_written_is_read_again)
{
    struct bounce_address address;
    char text[ADDRESS_SIZE];

    bounce_address_format(text, UUID, 4321, "sp-bounce", "example.com");
    ck_assert_str_eq(text, "bounces+" UUID "+4321@sp-bounce.example.com");
    ck_assert(parse(&address, text));
    ck_assert_str_eq(address.uuid, UUID);
    ck_assert_int_eq(address.subaccount, 4321);
    ck_assert_str_eq(address.domain, "sp-bounce.example.com");
    ck_assert_uint_eq(address.domain_length, strlen("sp-bounce.example.com"));
}
END_TEST

START_TEST(case_does_not_count)
{
    struct bounce_address address;

    ck_assert(parse(&address, "BOUNCES+6F1C2D3E-4B5A-4C7D-8E9F-0A1B2C3D4E5F+1@SP-Bounce.example.com"));
    ck_assert_str_eq(address.uuid, UUID);
}
END_TEST

START_TEST(another_form_is_no_bounce_address)
{
    static const char *const texts[] = {
        "",
        "bounces+",
        "bounces+" UUID,
        "bounces+" UUID "+",
        "bounces+" UUID "+1",
        "bounces+" UUID "+1@",
        "bounces+" UUID "@sp-bounce.example.com",
        "bounces+" UUID "+@sp-bounce.example.com",
        "bounces+" UUID "+x@sp-bounce.example.com",
        "bounces+" UUID "+-1@sp-bounce.example.com",
        "bounces+" UUID "+1@a@sp-bounce.example.com",
        "bounces+" UUID "+99999999999999999999@sp-bounce.example.com",
        "bounces+6f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5+1@sp-bounce.example.com",
        "bounces+00000000-0000-0000-0000-000000000000+1@sp-bounce.example.com",
        "bounce+" UUID "+1@sp-bounce.example.com",
    };
    struct bounce_address address;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!parse(&address, texts[i]), "%s", texts[i]);
}
END_TEST

START_TEST(nothing_is_read_beyond_the_length)
{
    struct bounce_address address;
    static const char text[] = "bounces+" UUID "+1@sp-bounce.example.com";

    for (size_t length = 0; length <= strlen("bounces+" UUID "+1@"); length++)
        ck_assert(!bounce_address_parse(&address, text, length));
    ck_assert(bounce_address_parse(&address, text, strlen("bounces+" UUID "+1@s")));
    ck_assert_uint_eq(address.domain_length, 1);
}
END_TEST

UNIT_SUITE(bounce_address_suite)
{
    Suite *suite = suite_create("bounce_address");
    TCase *tcase = tcase_create("bounce_address");

    tcase_add_test(tcase, what_is_written_is_read_again);
    tcase_add_test(tcase, case_does_not_count);
    tcase_add_test(tcase, another_form_is_no_bounce_address);
    tcase_add_test(tcase, nothing_is_read_beyond_the_length);
    suite_add_tcase(suite, tcase);
    return suite;
}
