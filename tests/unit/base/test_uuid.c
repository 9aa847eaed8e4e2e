#include "base/uuid.h"

#include <string.h>

#include "suites.h"

START_TEST(a_derived_uuid_never_changes)
{
    char uuid[UUID_SIZE], other[UUID_SIZE];

    uuid_derived(uuid, (const char *[]){"4bXyz", "user@example.com"}, 2);
    uuid_derived(other, (const char *[]){"4bXyz", "user@example.com"}, 2);
    ck_assert_str_eq(uuid, other);
    ck_assert(uuid_valid(uuid, strlen(uuid)));
    ck_assert_int_eq(uuid[14], '5');
    /* the value itself is a promise: a retry after an upgrade must find its UUID again */
    ck_assert_str_eq(uuid, "fc2e2be5-e85c-5302-8e9c-b58a22ae0057");
}
END_TEST

START_TEST(the_border_between_strings_counts)
{
    char a[UUID_SIZE], b[UUID_SIZE];

    uuid_derived(a, (const char *[]){"ab", "c"}, 2);
    uuid_derived(b, (const char *[]){"a", "bc"}, 2);
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(random_uuids_are_version_4_and_differ)
{
    char a[UUID_SIZE], b[UUID_SIZE];

    uuid_random(a);
    uuid_random(b);
    ck_assert_str_ne(a, b);
    ck_assert_int_eq(a[14], '4');
    ck_assert(strchr("89ab", a[19]) != NULL);
}
END_TEST

START_TEST(only_well_formed_uuids_are_valid)
{
    ck_assert(uuid_valid("31bdc664-f741-5a76-B8DC-9a801744f747", 36));
    ck_assert(!uuid_valid("31bdc664-f741-5a76-B8DC-9a801744f74", 35));
    ck_assert(!uuid_valid("31bdc664-f741-5a76-B8DC-9a801744f74g", 36));
    ck_assert(!uuid_valid("31bdc664f-741-5a76-B8DC-9a801744f747", 36));
    ck_assert(!uuid_valid("00000000-0000-0000-0000-000000000000", 36));
}
END_TEST

UNIT_SUITE(uuid_suite)
{
    Suite *suite = suite_create("uuid");
    TCase *tcase = tcase_create("uuid");

    tcase_add_test(tcase, a_derived_uuid_never_changes);
    tcase_add_test(tcase, the_border_between_strings_counts);
    tcase_add_test(tcase, random_uuids_are_version_4_and_differ);
    tcase_add_test(tcase, only_well_formed_uuids_are_valid);
    suite_add_tcase(suite, tcase);
    return suite;
}
