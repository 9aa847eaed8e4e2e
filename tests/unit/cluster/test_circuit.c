/* Whether it is worth asking the server now: one word for all processes. */
#include "suites.h"

#include "cluster/circuit.h"

static struct cluster_shared shared;
static int64_t seen; /* by the one who asked last */

static enum circuit_state ask(int64_t now_ms)
{
    return circuit_ask(&shared, now_ms, &seen);
}

static void failed(int64_t now_ms)
{
    circuit_failed(&shared, seen, now_ms);
}

static void setup(void)
{
    shared = (struct cluster_shared){0};
    seen = 0;
}

START_TEST(a_closed_circuit_asks_everybody)
{
    ck_assert_int_eq(ask(1000), CIRCUIT_CLOSED);
    ck_assert_int_eq(ask(1000), CIRCUIT_CLOSED);
}
END_TEST

START_TEST(after_a_failure_one_probes_and_the_others_do_not_wait)
{
    failed(1000);
    ck_assert_int_eq(ask(1000 + CLUSTER_FIRST_PAUSE_MS - 1), CIRCUIT_OPEN);
    ck_assert_int_eq(ask(1000 + CLUSTER_FIRST_PAUSE_MS), CIRCUIT_PROBE);
    ck_assert_int_eq(ask(1000 + CLUSTER_FIRST_PAUSE_MS), CIRCUIT_OPEN);
}
END_TEST

START_TEST(a_probe_that_is_killed_holds_nobody_up_for_long)
{
    failed(1000);
    ck_assert_int_eq(ask(2000), CIRCUIT_PROBE);
    ck_assert_int_eq(ask(2000 + 2 * CLUSTER_PATIENCE_MS), CIRCUIT_PROBE);
}
END_TEST

START_TEST(pauses_grow_to_their_longest)
{
    int64_t now = 1000, expected = CLUSTER_FIRST_PAUSE_MS;

    for (int i = 0; i < 40; i++) {
        failed(now);
        ck_assert_int_eq(ask(now + expected - 1), CIRCUIT_OPEN);
        now += expected;
        ck_assert_int_eq(ask(now), CIRCUIT_PROBE);
        expected = expected * 2 < CLUSTER_LONGEST_PAUSE_MS ? expected * 2 : CLUSTER_LONGEST_PAUSE_MS;
    }
}
END_TEST

START_TEST(success_closes_it_and_forgets_since_when_it_was_away)
{
    failed(1000);
    ck_assert_int_eq(ask(2000), CIRCUIT_PROBE);
    failed(2000);
    ck_assert_int_eq(atomic_load(&shared.away_ms), 1000);
    circuit_works(&shared);
    ck_assert_int_eq(ask(2001), CIRCUIT_CLOSED);
    ck_assert_int_eq(atomic_load(&shared.away_ms), 0);
    failed(3000);
    ck_assert_int_eq(ask(3000 + CLUSTER_FIRST_PAUSE_MS), CIRCUIT_PROBE);
}
END_TEST

START_TEST(many_that_meet_one_stall_are_one_failure)
{
    int64_t saw[10];

    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(circuit_ask(&shared, 1000, &saw[i]), CIRCUIT_CLOSED);
    for (int i = 0; i < 10; i++)
        circuit_failed(&shared, saw[i], 1200 + i % 3);
    ck_assert_int_eq(ask(1200 + CLUSTER_FIRST_PAUSE_MS - 1), CIRCUIT_OPEN);
    ck_assert_int_eq(ask(1200 + CLUSTER_FIRST_PAUSE_MS), CIRCUIT_PROBE);
}
END_TEST

/* One was let through long ago, the server answered another since. */
START_TEST(a_failure_that_is_overtaken_by_success_opens_nothing)
{
    failed(1000);
    ck_assert_int_eq(ask(2000), CIRCUIT_PROBE);
    circuit_works(&shared);
    failed(2200);
    ck_assert_int_eq(ask(2200), CIRCUIT_CLOSED);
    ck_assert_int_eq(atomic_load(&shared.away_ms), 0);
}
END_TEST

START_TEST(a_damaged_word_blocks_nobody_for_longer_than_the_longest_pause)
{
    atomic_store(&shared.circuit, INT64_MAX);
    ck_assert_int_eq(ask(1000), CIRCUIT_PROBE);
    failed(1000);
    ck_assert_int_eq(ask(1000 + CLUSTER_LONGEST_PAUSE_MS - 1), CIRCUIT_OPEN);
    ck_assert_int_eq(ask(1000 + CLUSTER_LONGEST_PAUSE_MS), CIRCUIT_PROBE);
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
    tcase_add_test(tests, many_that_meet_one_stall_are_one_failure);
    tcase_add_test(tests, a_failure_that_is_overtaken_by_success_opens_nothing);
    tcase_add_test(tests, a_damaged_word_blocks_nobody_for_longer_than_the_longest_pause);
    suite_add_tcase(suite, tests);
    return suite;
}
