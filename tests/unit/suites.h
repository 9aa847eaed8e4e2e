/*
 * Every file tests/unit/ROOM/test_MODULE.c holds one suite and registers it itself:
 *
 *     UNIT_SUITE(module_suite)
 *     {
 *         Suite *suite = suite_create("module");
 *         …
 *         return suite;
 *     }
 *
 * A new suite is one more line in Makefile.am and nothing else.
 */
#ifndef TESTS_UNIT_SUITES_H
#define TESTS_UNIT_SUITES_H

#include <check.h>
#include <stdbool.h>

void unit_tests_register(Suite *(*make)(void));

/* valgrind does not know every system call, and would be shut in where a test shuts itself in. */
bool unit_tests_under_valgrind(void);

#define UNIT_SUITE(name)                                           \
    static Suite *name(void);                                      \
    __attribute__((constructor)) static void register_##name(void) \
    {                                                              \
        unit_tests_register(name);                                 \
    }                                                              \
    static Suite *name(void)

#endif
