#include "supervisor/processors.h"

#include "suites.h"

static const struct {
    const char *loadavg;
    long processors;
    bool taken;
} cases[] = {
    {"9.20 0.18 0.12 1/80 11206\n", 2, false},
    {"0.20 0.18 0.12 2/80 11206\n", 2, false},
    {"0.20 0.18 0.12 3/80 11206\n", 2, true},
    {"0.20 0.18 0.12 3/80 11206\n", 4, false},
    {"0.20 0.18 0.12 65/80 11206\n", 64, true},
    {"", 2, false},
    {"0.20 0.18", 2, false},
    {"0.20 0.18 0.12 many", 2, false},
};

START_TEST(more_than_one_for_each_is_too_many)
{
    ck_assert_msg(processors_are_taken_by(cases[_i].loadavg, cases[_i].processors) == cases[_i].taken,
                  "%s for %ld", cases[_i].loadavg, cases[_i].processors);
}
END_TEST

static const struct {
    const char *uptime;
    int64_t idle_ms;
} idles[] = {
    {"76794.07 35147.52\n", 35147520},
    {"76794.07 0.00\n", 0},
    {"76794.07", -1},
    {"", -1},
    {"76794.07 nan\n", -1},
    {"76794.07 much\n", -1},
    {"1 -3\n", -1},
    {"1 1e99\n", -1},
};

START_TEST(what_was_idle_is_read)
{
    ck_assert_int_eq(processors_idle_ms_of(idles[_i].uptime), idles[_i].idle_ms);
}
END_TEST

START_TEST(this_machine_has_processors)
{
    ck_assert_int_ge(processors_number(), 1);
    ck_assert_int_ge(processors_idle_ms(), -1);
}
END_TEST

UNIT_SUITE(processors_suite)
{
    Suite *suite = suite_create("processors");
    TCase *tcase = tcase_create("processors");

    tcase_add_loop_test(tcase, more_than_one_for_each_is_too_many, 0, sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(tcase, what_was_idle_is_read, 0, sizeof idles / sizeof idles[0]);
    tcase_add_test(tcase, this_machine_has_processors);
    suite_add_tcase(suite, tcase);
    return suite;
}
