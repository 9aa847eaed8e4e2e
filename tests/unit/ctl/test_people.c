#include "ctl/people.h"

#include <stdlib.h>
#include <time.h>

#include "suites.h"

#define NOW INT64_C(1764165600000) /* 2025-11-26T14:00:00Z, 15:00 in Berlin */
#define HOUR_MS INT64_C(3600000)

static void setup(void)
{
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
}

static const struct {
    const char *text;
    int64_t from_now_ms; /* -1: it is none */
} moments[] = {
    {"18:00", 3 * HOUR_MS},
    {"15:00", 24 * HOUR_MS}, /* now is over */
    {"15:01", 60000},
    {"9:30", 18 * HOUR_MS + HOUR_MS / 2},
    {"2025-11-27", 9 * HOUR_MS},
    {"2025-11-27 00:30", 9 * HOUR_MS + HOUR_MS / 2},
    {"2025-11-26T15:30:30", HOUR_MS / 2 + 30000},
    {"2025-11-26T15:30Z", HOUR_MS + HOUR_MS / 2},
    {"2025-11-26 15:30:00Z", HOUR_MS + HOUR_MS / 2},
    {"2025-06-01 00:00Z", INT64_C(1748736000000) - NOW}, /* whether it is over is the caller's question */
    {"", -1},
    {"noon", -1},
    {"25:00", -1},
    {"18:00x", -1},
    {"18:00Z", -1},
    {"2025-11", -1},
    {"2025-13-01", -1},
    {"2025-11-27 0:30 tomorrow", -1},
    {"tomorrow", -1},
    {"2h", -1},
};

START_TEST(a_moment_is_read_as_people_write_it)
{
    int64_t expected = moments[_i].from_now_ms == -1 ? -1 : NOW + moments[_i].from_now_ms;

    ck_assert_msg(people_moment_ms(moments[_i].text, NOW) == expected, "%s: %lld, not %lld", moments[_i].text,
                  (long long)people_moment_ms(moments[_i].text, NOW), (long long)expected);
}
END_TEST

START_TEST(the_next_time_of_day_is_also_right_when_the_clocks_change)
{
    const int64_t saturday = INT64_C(1774710000000); /* 2026-03-28T15:00:00Z, 16:00 in Berlin */

    ck_assert_int_eq(people_moment_ms("12:00", saturday), saturday + 19 * HOUR_MS);
}
END_TEST

static const struct {
    const char *text;
    int64_t ms;
} durations[] = {{"90s", 90000},
                 {"5m", 300000},
                 {"2h", 2 * HOUR_MS},
                 {"7d", 168 * HOUR_MS},
                 {"30", 30000},
                 {"0", 0},
                 {"", -1},
                 {"h", -1},
                 {"-1h", -1},
                 {"1w", -1},
                 {"1h30m", -1},
                 {"1.5h", -1},
                 {"99999999999999999999d", -1}};

START_TEST(a_duration_is_read_with_its_unit)
{
    ck_assert_int_eq(people_duration_ms(durations[_i].text), durations[_i].ms);
}
END_TEST

UNIT_SUITE(people_suite)
{
    Suite *suite = suite_create("people");
    TCase *tcase = tcase_create("people");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, a_moment_is_read_as_people_write_it, 0, sizeof moments / sizeof moments[0]);
    tcase_add_test(tcase, the_next_time_of_day_is_also_right_when_the_clocks_change);
    tcase_add_loop_test(tcase, a_duration_is_read_with_its_unit, 0, sizeof durations / sizeof durations[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
