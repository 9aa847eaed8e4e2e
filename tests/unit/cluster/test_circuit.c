/* Whether it is worth asking the server now: one word for all processes. */
#include "suites.h"

#include "cluster/circuit.h"

static struct cluster_shared shared;

static void setup(void)
{
    shared = (struct cluster_shared){0};
}

START_TEST(a_closed_circuit_asks_everybody)
{
    ck_assert_int_eq(circuit_ask(&shared, 1000), CIRCUIT_CLOSED);
    ck_assert_int_eq(circuit_ask(&shared, 1000), CIRCUIT_CLOSED);
}
END_TEST

START_TEST(after_a_failure_one_probes_and_the_others_do_not_wait)
{
    circuit_failed(&shared, 1000);
    ck_assert_int_eq(circuit_ask(&shared, 1000 + CLUSTER_FIRST_PAUSE_MS - 1), CIRCUIT_OPEN);
    ck_assert_int_eq(circuit_ask(&shared, 1000 + CLUSTER_FIRST_PAUSE_MS), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit_ask(&shared, 1000 + CLUSTER_FIRST_PAUSE_MS), CIRCUIT_OPEN);
}
END_TEST

START_TEST(a_probe_that_is_killed_holds_nobody_up_for_long)
{
    circuit_failed(&shared, 1000);
    ck_assert_int_eq(circuit_ask(&shared, 2000), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit_ask(&shared, 2000 + 2 * CLUSTER_PATIENCE_MS), CIRCUIT_PROBE);
}
END_TEST

START_TEST(pauses_grow_to_their_longest)
{
    int64_t now = 1000, expected = CLUSTER_FIRST_PAUSE_MS;

    for (int i = 0; i < 40; i++) {
        circuit_failed(&shared, now);
        ck_assert_int_eq(circuit_ask(&shared, now + expected - 1), CIRCUIT_OPEN);
        now += expected;
        ck_assert_int_eq(circuit_ask(&shared, now), CIRCUIT_PROBE);
        expected = expected * 2 < CLUSTER_LONGEST_PAUSE_MS ? expected * 2 : CLUSTER_LONGEST_PAUSE_MS;
    }
}
END_TEST

START_TEST(success_closes_it_and_forgets_since_when_it_was_away)
{
    circuit_failed(&shared, 1000);
    circuit_failed(&shared, 2000);
    ck_assert_int_eq(atomic_load(&shared.away_ms), 1000);
    circuit_works(&shared);
    ck_assert_int_eq(circuit_ask(&shared, 2001), CIRCUIT_CLOSED);
    ck_assert_int_eq(atomic_load(&shared.away_ms), 0);
    circuit_failed(&shared, 3000);
    ck_assert_int_eq(circuit_ask(&shared, 3000 + CLUSTER_FIRST_PAUSE_MS), CIRCUIT_PROBE);
}
END_TEST

START_TEST(a_damaged_word_blocks_nobody_for_longer_than_the_longest_pause)
{
    atomic_store(&shared.circuit, INT64_MAX);
    ck_assert_int_eq(circuit_ask(&shared, 1000), CIRCUIT_OPEN);
    circuit_failed(&shared, 1000);
    ck_assert_int_eq(circuit_ask(&shared, 1000 + CLUSTER_LONGEST_PAUSE_MS), CIRCUIT_PROBE);
}
END_TEST

UNIT_SUITE(circuit_suite)
{
    Suite *suite = suite_create("circuit");
    TCase *tests = tcase_create("circuit");

    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_closed_circuit_asks_everybody);
    tcase_add_test(tests, after_a_failure_one_probes_and_the_others_do_not_wait);
    tcase_add_test(tests, a_probe_that_is_killed_holds_nobody_up_for_long);
    tcase_add_test(tests, pauses_grow_to_their_longest);
    tcase_add_test(tests, success_closes_it_and_forgets_since_when_it_was_away);
    tcase_add_test(tests, a_damaged_word_blocks_nobody_for_longer_than_the_longest_pause);
    suite_add_tcase(suite, tests);
    return suite;
}
