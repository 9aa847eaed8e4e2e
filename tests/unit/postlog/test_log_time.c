#include "postlog/log_time.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "suites.h"

static void in_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

static const char *read_stamp(struct log_time *log_time, const char *stamp)
{
    static char text[CLOCK_RFC3339_SIZE];

    return clock_rfc3339(log_time_parse(log_time, (struct log_slice){stamp, strlen(stamp)}), text);
}

#define JANUARY_2_2026 INT64_C(1767312000000) /* 2026-01-02T00:00:00Z */

START_TEST(december_read_in_january_is_last_years)
{
    struct log_time log_time = {.reference_ms = JANUARY_2_2026};

    in_zone("UTC");
    ck_assert_str_eq(read_stamp(&log_time, "Dec 31 23:59:58"), "2025-12-31T23:59:58.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Jan  1 00:00:02"), "2026-01-01T00:00:02.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Jan  2 23:00:00"), "2026-01-02T23:00:00.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Jan  4 00:00:00"), "2025-01-04T00:00:00.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Feb 29 12:00:00"), "2024-02-29T12:00:00.000Z");
}
END_TEST

START_TEST(classic_stamps_are_local_time)
{
    struct log_time log_time = {.reference_ms = JANUARY_2_2026};

    in_zone("Europe/Berlin");
    ck_assert_str_eq(read_stamp(&log_time, "Jan  1 00:30:00"), "2025-12-31T23:30:00.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Jul  1 00:30:01"), "2025-06-30T22:30:01.000Z");
}
END_TEST

START_TEST(the_hour_that_comes_twice_is_told_by_the_order_of_lines)
{
    struct log_time log_time = {.reference_ms = JANUARY_2_2026};

    in_zone("Europe/Berlin"); /* 26 October 2025, 03:00 CEST becomes 02:00 CET */
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 01:59:59"), "2025-10-25T23:59:59.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 02:00:01"), "2025-10-26T00:00:01.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 02:30:00"), "2025-10-26T00:30:00.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 02:29:58"), "2025-10-26T00:29:58.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 02:59:59"), "2025-10-26T00:59:59.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 02:00:00"), "2025-10-26T01:00:00.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 02:40:00"), "2025-10-26T01:40:00.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "Oct 26 03:00:00"), "2025-10-26T02:00:00.000Z");
}
END_TEST

START_TEST(rfc3339_stamps_say_their_zone)
{
    struct log_time log_time = {0};

    ck_assert_str_eq(read_stamp(&log_time, "2026-11-23T05:29:37.123456+01:00"), "2026-11-23T04:29:37.123Z");
    ck_assert_str_eq(read_stamp(&log_time, "2026-11-23T05:29:37-0330"), "2026-11-23T08:59:37.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "2024-02-29T00:00:00.5Z"), "2024-02-29T00:00:00.500Z");
}
END_TEST

START_TEST(a_stamp_without_sense_is_taken_for_the_time_before)
{
    struct log_time log_time = {.reference_ms = JANUARY_2_2026};

    in_zone("UTC");
    read_stamp(&log_time, "Jan  1 00:00:02");
    ck_assert_str_eq(read_stamp(&log_time, "Xyz  1 00:00:02"), "2026-01-01T00:00:02.000Z");
    ck_assert_str_eq(read_stamp(&log_time, "2026-13-41T00:00:02Z"), "2026-01-01T00:00:02.000Z");
    ck_assert_str_eq(read_stamp(&log_time, ""), "2026-01-01T00:00:02.000Z");
}
END_TEST

UNIT_SUITE(log_time_suite)
{
    Suite *suite = suite_create("log_time");
    TCase *tcase = tcase_create("log_time");

    tcase_add_test(tcase, december_read_in_january_is_last_years);
    tcase_add_test(tcase, classic_stamps_are_local_time);
    tcase_add_test(tcase, the_hour_that_comes_twice_is_told_by_the_order_of_lines);
    tcase_add_test(tcase, rfc3339_stamps_say_their_zone);
    tcase_add_test(tcase, a_stamp_without_sense_is_taken_for_the_time_before);
    suite_add_tcase(suite, tcase);
    return suite;
}
