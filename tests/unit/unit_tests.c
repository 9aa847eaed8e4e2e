/*
 * Runs every suite that is linked. CK_RUN_SUITE=NAME runs one of them, CK_RUN_CASE=NAME one of its cases;
 * CK_FORK=no helps with a debugger.
 */
#include "suites.h"

#include <stdlib.h>
#include <string.h>

#define SUITES_MAX 200
#define HANGS_S "600" /* for what never ends; no measure: on a busy machine all takes its time */

static struct {
    Suite *(*make[SUITES_MAX])(void);
    int count;
} suites;

void unit_tests_register(Suite *(*make)(void))
{
    if (suites.count == SUITES_MAX)
        abort();
    suites.make[suites.count++] = make;
}

bool unit_tests_under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

int main(void)
{
    SRunner *runner = srunner_create(NULL);

    setenv("CK_DEFAULT_TIMEOUT", HANGS_S, 0); /* before the first case is made */
    for (int i = 0; i < suites.count; i++)
        srunner_add_suite(runner, suites.make[i]());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
