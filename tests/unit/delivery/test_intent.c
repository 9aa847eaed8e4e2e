#include "delivery/intent.h"

#include "suites.h"
#include "temporary_store.h"

#define BOOT 12345

START_TEST(an_intent_is_found_until_it_is_removed)
{
    struct intent intent = {7, "4bX", "user@example.com", "uuid", "17-ab"};
    int64_t boot = 0;

    ck_assert_int_eq(intent_find(store, 7, &boot, &error), 0);
    ck_assert(intent_write(store, &intent, BOOT, 1000, &error));
    ck_assert(intent_write(store, &intent, BOOT, 1000, &error));
    ck_assert_int_eq(intent_find(store, 7, &boot, &error), 1);
    ck_assert_int_eq(boot, BOOT);
    ck_assert(intent_remove(store, 7, &error));
    ck_assert_int_eq(intent_find(store, 7, &boot, &error), 0);
    ck_assert(intent_write(store, &intent, boot, 1000, &error));
    ck_assert(intent_sweep(store, 41ll * 24 * 3600 * 1000, &error));
    ck_assert_int_eq(intent_find(store, 7, &boot, &error), 0);
}
END_TEST

UNIT_SUITE(intent_suite)
{
    Suite *suite = suite_create("intent");
    TCase *tcase = tcase_create("intent");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, an_intent_is_found_until_it_is_removed);
    suite_add_tcase(suite, tcase);
    return suite;
}
