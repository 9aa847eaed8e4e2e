#include "event/event_clock.h"

#include "base/clock.h"
#include "suites.h"
#include "temporary_store.h"

static int64_t now_s(void)
{
    return clock_realtime_ms() / 1000;
}

START_TEST(a_clock_that_is_off_is_on_record_until_it_is_right)
{
    enum event_clock known = EVENT_CLOCK_UNKNOWN;

    event_clock_note(store, now_s(), &known);
    ck_assert_int_eq(known, EVENT_CLOCK_RIGHT);
    ck_assert_int_eq(event_clock_apart_s(store), 0);
    event_clock_note(store, now_s() - 86400, &known);
    ck_assert_int_eq(known, EVENT_CLOCK_WRONG);
    ck_assert_int_ge(event_clock_apart_s(store), 86400 - 60);
    event_clock_note(store, now_s() + 10, &known);
    ck_assert_int_eq(event_clock_apart_s(store), 0);
    event_clock_note(store, now_s() + 86400, &known);
    ck_assert_int_le(event_clock_apart_s(store), -86400 + 60);
}
END_TEST

START_TEST(another_process_learns_that_it_is_right_again)
{
    enum event_clock first = EVENT_CLOCK_UNKNOWN, second = EVENT_CLOCK_UNKNOWN;

    event_clock_note(store, now_s() - 86400, &first);
    event_clock_note(store, now_s(), &second);
    ck_assert_int_eq(second, EVENT_CLOCK_RIGHT);
    ck_assert_int_eq(event_clock_apart_s(store), 0);
}
END_TEST

UNIT_SUITE(event_clock_suite)
{
    Suite *suite = suite_create("event_clock");
    TCase *tcase = tcase_create("event_clock");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, a_clock_that_is_off_is_on_record_until_it_is_right);
    tcase_add_test(tcase, another_process_learns_that_it_is_right_again);
    suite_add_tcase(suite, tcase);
    return suite;
}
