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
    {"0.20 0.18 0.12 500/900 11206\n", -1, false},
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

UNIT_SUITE(processors_suite)
{
    Suite *suite = suite_create("processors");
    TCase *tcase = tcase_create("processors");

    tcase_add_loop_test(tcase, more_than_one_for_each_is_too_many, 0, sizeof cases / sizeof cases[0]);
    suite_add_tcase(suite, tcase);
    return suite;
}
