#include "policy/pool.h"
#include "policy/pool_turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/slow_down.h"
#include "simulation.h"
#include "suites.h"

#define TPSPS 6

static struct simulation *simulation;
static struct rate_table *table;
static struct connections_desk *leases; /* of the delivery; NULL: none */
static struct config_tpsp tpsps[TPSPS];
static struct config_member members[3][TPSPS];
static struct config_pool pools[3];
static struct config config;
static const struct route_facts nothing_known = {.provider = PROVIDER_DEFAULT, .sender_domain = ""};
static struct route_facts facts;

/* Three pools: a b c; d e; f. No rates, no overflow. */
static void setup(void)
{
    static const char *const names[TPSPS] = {"a", "b", "c", "d", "e", "f"};
    static const char *const pool_names[3] = {"default", "second", "third"};
    static const size_t counts[3] = {3, 2, 1};
    size_t tpsp = 0;

    facts = nothing_known;
    leases = NULL;
    simulation = simulation_begin();
    table = simulation_table(simulation);
    memset(tpsps, 0, sizeof tpsps);
    for (size_t i = 0; i < 3; i++) {
        pools[i] = (struct config_pool){
            .name = (char *)pool_names[i], .members = members[i], .member_count = counts[i], .overflow = -1};
        for (size_t j = 0; j < counts[i]; j++, tpsp++) {
            tpsps[tpsp] = (struct config_tpsp){.name = (char *)names[tpsp]};
            members[i][j] = (struct config_member){.tpsp = tpsp, .weight = 1};
        }
    }
    config = (struct config){.tpsps = tpsps,
                             .tpsp_count = TPSPS,
                             .pools = pools,
                             .pool_count = 3,
                             .rate_burst = 10,
                             .rate_limit_wait_ms = 2000};
}

static void teardown(void)
{
    rate_table_close(table);
    simulation_end(simulation);
}

/* One letter a TPSP says how it behaves: (w)orks, (d)own, refuses as a (h)ost, has no reply after the dot
 * (i), (t)emporarily or (p)ermanently refuses the message, does not offer what its address needs (u). */
static bool behave(char behaviour, struct outcome *outcome)
{
    switch (behaviour) {
    case 'd':
        outcome_set(outcome, OUTCOME_DEFERRED, CAUSE_HOST, 0, "4.4.1", "Connection refused");
        return false;
    case 'h':
        outcome_set(outcome, OUTCOME_DEFERRED, CAUSE_HOST, 421, "4.3.2", "closing");
        return true;
    case 'i':
        outcome_set(outcome, OUTCOME_DEFERRED, CAUSE_IN_DOUBT, 0, "4.4.2", "no reply after the dot");
        return true;
    case 't':
        outcome_set(outcome, OUTCOME_DEFERRED, CAUSE_MESSAGE, 450, "4.2.0", "greylisted");
        return true;
    case 'u':
        outcome_set(outcome, OUTCOME_DROPPED, CAUSE_MESSAGE, 0, "5.6.7", "does not offer SMTPUTF8");
        return true;
    case 'p':
        outcome_set(outcome, OUTCOME_DROPPED, CAUSE_MESSAGE, 550, "5.1.1", "no such user");
        return true;
    default:
        outcome_set(outcome, OUTCOME_DELIVERED, CAUSE_NONE, 250, "2.0.0", "queued");
        return true;
    }
}

/* Deliver; the names of the TPSPs contacted, in that order, in walk_r. */
static struct outcome deliver_by(struct rate_table *by, size_t pool, const char *behaviours,
                                 char walk_r[TPSPS + 1])
{
    struct outcome outcome = {.class = OUTCOME_DEFERRED};
    const struct config_tpsp *tpsp;
    struct pool_cursor cursor;
    size_t length = 0;

    pool_begin(&cursor, &(struct admission_gate){.config = &config, .table = by, .leases = leases},
               &pools[pool], &facts, INT64_MAX / 1000000 - 1);
    while (pool_next(&cursor, &tpsp, &outcome)) {
        ck_assert_uint_lt(length, TPSPS);
        walk_r[length++] = *tpsp->name;
        bool contacted = behave(behaviours[*tpsp->name - 'a'], &outcome);
        pool_report(&cursor, &outcome, (struct pool_evidence){.contacted = contacted});
    }
    pool_end(&cursor);
    walk_r[length] = '\0';
    return outcome;
}

static char walk[TPSPS + 1];

static struct outcome deliver(const char *behaviours)
{
    return deliver_by(table, 0, behaviours, walk);
}

static const struct {
    const char *behaviours, *walk;
    enum outcome_class class;
    enum outcome_cause cause;
} failovers[] = {
    {"www", "a", OUTCOME_DELIVERED, CAUSE_NONE},     {"dww", "ab", OUTCOME_DELIVERED, CAUSE_NONE},
    {"hww", "ab", OUTCOME_DELIVERED, CAUSE_NONE},    {"dhw", "abc", OUTCOME_DELIVERED, CAUSE_NONE},
    {"ddd", "abc", OUTCOME_DEFERRED, CAUSE_HOST},    {"iww", "a", OUTCOME_DEFERRED, CAUSE_IN_DOUBT},
    {"tww", "a", OUTCOME_DEFERRED, CAUSE_MESSAGE},   {"pww", "a", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {"uww", "ab", OUTCOME_DELIVERED, CAUSE_NONE},    {"uuu", "abc", OUTCOME_DROPPED, CAUSE_MESSAGE},
    {"duu", "abc", OUTCOME_DEFERRED, CAUSE_HOST},    {"udu", "abc", OUTCOME_DEFERRED, CAUSE_HOST},
    {"upw", "ab", OUTCOME_DROPPED, CAUSE_MESSAGE},   {"utw", "ab", OUTCOME_DEFERRED, CAUSE_MESSAGE},
    {"diw", "ab", OUTCOME_DEFERRED, CAUSE_IN_DOUBT}, {"dpw", "ab", OUTCOME_DROPPED, CAUSE_MESSAGE},
};

START_TEST(failover_goes_on_after_host_trouble_alone)
{
    struct outcome outcome = deliver(failovers[_i].behaviours);

    ck_assert_str_eq(walk, failovers[_i].walk);
    ck_assert_int_eq(outcome.class, failovers[_i].class);
    ck_assert_int_eq(outcome.cause, failovers[_i].cause);
}
END_TEST

/* --- shares ------------------------------------------------------------------------------------ */

static const struct {
    enum config_strategy strategy;
    uint32_t weights[3];
    unsigned char usable[3];
    unsigned shares[3]; /* of as many turns as they add up to */
} mixes[] = {
    {STRATEGY_ROUND_ROBIN, {5, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {STRATEGY_ROUND_ROBIN, {1, 1, 1}, {1, 0, 1}, {1, 0, 1}},
    {STRATEGY_WEIGHTED, {3, 1, 1}, {1, 1, 1}, {3, 1, 1}},
    {STRATEGY_WEIGHTED, {3, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {STRATEGY_WEIGHTED, {50, 30, 20}, {1, 1, 1}, {50, 30, 20}},
    {STRATEGY_WEIGHTED, {50, 30, 20}, {1, 0, 1}, {50, 0, 20}},
    {STRATEGY_WEIGHTED, {50, 30, 20}, {0, 1, 1}, {0, 30, 20}},
    {STRATEGY_WEIGHTED, {997, 2, 1}, {1, 1, 1}, {997, 2, 1}},
    {STRATEGY_WEIGHTED, {7, 0, 0}, {0, 1, 1}, {0, 1, 0}},
    {STRATEGY_WEIGHTED, {4000000000u, 4000000000u, 1}, {1, 1, 0}, {1, 1, 0}},
};

START_TEST(each_member_has_its_share_also_of_the_turns_of_those_that_fail)
{
    const unsigned turns = 100000 / (unsigned)simulation_haste();
    unsigned counts[3] = {0}, total = 0;
    size_t order[3];

    pools[0].strategy = mixes[_i].strategy;
    for (size_t i = 0; i < 3; i++) {
        members[0][i].weight = mixes[_i].weights[i];
        total += mixes[_i].shares[i];
    }
    for (unsigned turn = 0; turn < turns; turn++) {
        pool_order(&pools[0], &facts, turn, order);
        ck_assert_uint_eq(order[0] + order[1] + order[2], 3);
        ck_assert(order[0] != order[1] && order[1] != order[2] && order[0] != order[2]);
        size_t at = 0;
        while (!mixes[_i].usable[order[at]])
            at++;
        counts[order[at]]++;
    }
    for (size_t i = 0; i < 3; i++) {
        double expected = (double)turns * mixes[_i].shares[i] / total;
        ck_assert_double_le(counts[i], expected + turns * 0.001);
        ck_assert_double_ge(counts[i], expected - turns * 0.001);
    }
}
END_TEST

START_TEST(shares_are_exact_in_a_round_and_mixed_within_it)
{
    size_t order[3], counts[3] = {0}, in_a_row = 0, longest = 0;

    pools[0].strategy = STRATEGY_WEIGHTED;
    members[0][0].weight = 6, members[0][1].weight = 3, members[0][2].weight = 1;
    for (uint64_t turn = 0; turn < 10; turn++) {
        pool_order(&pools[0], &facts, turn, order);
        counts[order[0]]++;
        in_a_row = order[0] == 0 ? in_a_row + 1 : 0;
        if (in_a_row > longest)
            longest = in_a_row;
    }
    ck_assert(counts[0] == 6 && counts[1] == 3 && counts[2] == 1);
    ck_assert_uint_le(longest, 3);
}
END_TEST

static void child_deliver(struct simulation *shared, int64_t end, int64_t step)
{
    struct rate_table *own = simulation_table(shared);
    char own_walk[TPSPS + 1];

    (void)end;
    (void)step;
    for (int i = 0; i < 250; i++) {
        deliver_by(own, 0, "www", own_walk);
        simulation_record(shared, *own_walk);
    }
    _exit(0);
}

START_TEST(processes_share_the_turns)
{
    unsigned counts[3] = {0};

    pools[0].strategy = STRATEGY_WEIGHTED;
    members[0][0].weight = 5, members[0][1].weight = 3, members[0][2].weight = 2;
    for (int i = 0; i < 8; i++)
        simulation_start(simulation, child_deliver, 0, 0);
    simulation_expect_all_well(8);
    for (size_t i = 0; i < atomic_load(&simulation->count); i++)
        counts[simulation->records[i] - 'a']++;
    ck_assert(counts[0] == 1000 && counts[1] == 600 && counts[2] == 400);
}
END_TEST

/* --- rates and overflow -------------------------------------------------------------------------- */

static void limit(size_t tpsp, uint32_t per_hour)
{
    tpsps[tpsp].global_rate = (struct config_rate){per_hour, 3600000};
}

START_TEST(a_member_over_its_rate_is_passed_over)
{
    limit(0, 2);
    deliver("www");
    deliver("www");
    ck_assert_int_eq(deliver("www").class, OUTCOME_DELIVERED);
    ck_assert_str_eq(walk, "b");
}
END_TEST

START_TEST(overflow_begins_when_all_members_are_over_their_rate)
{
    pools[0].overflow = 1;
    pools[1].overflow = 2;
    for (size_t i = 0; i < 5; i++)
        limit(i, 1);
    static const char expected[] = "abcdeff";
    for (size_t i = 0; expected[i]; i++) {
        deliver("wwwwww");
        ck_assert_int_eq(walk[0], expected[i]);
    }
}
END_TEST

START_TEST(overflow_takes_over_from_those_that_are_left_alone)
{
    pools[0].overflow = 1;
    for (int i = 0; i < BREAKER_THRESHOLD; i++)
        deliver("dddww");
    ck_assert_int_eq(deliver("wwwww").class, OUTCOME_DELIVERED);
    ck_assert_str_eq(walk, "d");
    for (int i = 0; i < BREAKER_THRESHOLD; i++) {
        breaker_report(table, "d", BREAKER_CLOSED, BREAKER_FAILS);
        breaker_report(table, "e", BREAKER_CLOSED, BREAKER_FAILS);
    }
    ck_assert_int_eq(deliver("wwwww").cause, CAUSE_OURS); /* there is nobody left */
    pools[1].overflow = 2;
    ck_assert_int_eq(deliver("wwwwww").class, OUTCOME_DELIVERED);
    ck_assert_str_eq(walk, "f");
}
END_TEST

START_TEST(overflow_is_not_for_those_that_are_down)
{
    pools[0].overflow = 1;
    ck_assert_int_eq(deliver("dddww").cause, CAUSE_HOST);
    ck_assert_str_eq(walk, "abc");
    limit(2, 1);
    deliver("ddwww");
    ck_assert_str_eq(walk, "abc");
    ck_assert_int_eq(deliver("ddwww").class, OUTCOME_DELIVERED); /* c is over its rate now */
    ck_assert_str_eq(walk, "abd");
}
END_TEST

START_TEST(when_all_are_over_their_rate_the_first_slot_is_named)
{
    limit(0, 1);
    limit(1, 2);
    tpsps[2].provider_rates[PROVIDER_DEFAULT] = (struct config_rate){1, 1800000};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(deliver("www").class, OUTCOME_DELIVERED);
    int64_t before = atomic_load(&simulation->now);
    struct outcome outcome = deliver("www");
    ck_assert_str_eq(walk, "");
    ck_assert_int_eq(outcome.cause, CAUSE_RATE);
    ck_assert_str_eq(outcome.enhanced, "4.7.1");
    ck_assert_str_eq(outcome.text,
                     "rate limit of TPSP c: 1 in 1800 s (provider default), reached, next slot in 1800 s");
    ck_assert_int_eq(atomic_load(&simulation->now), before); /* a slot so far away is not waited for */
}
END_TEST

START_TEST(a_slot_that_comes_soon_is_waited_for)
{
    for (size_t i = 0; i < 3; i++) /* one in 36 seconds; in 3.6; in 1.8 */
        limit(i, i == 0 ? 100 : i == 1 ? 1000 : 2000);
    config.rate_burst = 1;
    for (int i = 0; i < 3; i++)
        deliver("www");
    int64_t before = atomic_load(&simulation->now);
    ck_assert_int_eq(deliver("www").class, OUTCOME_DELIVERED);
    ck_assert_str_eq(walk, "c");
    ck_assert_int_eq(atomic_load(&simulation->now) - before, 1800000000);
    config.rate_limit_wait_ms = 1000;
    ck_assert_int_eq(deliver("www").cause, CAUSE_RATE);
    config.rate_limit_wait_ms = 0;
    ck_assert_int_eq(deliver("www").cause, CAUSE_RATE);
}
END_TEST

START_TEST(a_tpsp_that_was_not_reached_keeps_its_slots)
{
    limit(0, 2);
    for (int i = 0; i < 4; i++)
        deliver("dww");
    deliver("www");
    ck_assert_str_eq(walk, "a");
    deliver("hww"); /* was reached */
    ck_assert_str_eq(walk, "ab");
    deliver("www");
    ck_assert_str_eq(walk, "b");
}
END_TEST

START_TEST(over_the_rate_counts_for_more_than_down)
{
    limit(1, 1);
    pools[0].member_count = 2;
    deliver("dw");
    ck_assert_int_eq(deliver("dw").cause, CAUSE_RATE); /* no attempt, for b will take it */
}
END_TEST

/* --- connections --------------------------------------------------------------------------------- */

START_TEST(when_all_connections_are_in_use_the_next_member_is_asked_then_one_is_waited_for)
{
    config.state_dir = simulation->dir;
    tpsps[0].max_connections = 1;
    struct connections_desk *others = connections_open(&config);
    struct outcome error;
    leases = connections_open(&config);

    deliver("www");
    ck_assert_str_eq(walk, "a");
    ck_assert(connections_is_held(leases, &tpsps[0])); /* until the connection is closed */
    deliver("www");
    ck_assert_str_eq(walk, "a");
    connections_let_go(leases, &tpsps[0]);
    ck_assert_int_eq(connections_take(others, &tpsps[0], 1, &error), CONNECTIONS_TAKEN);
    deliver("www");
    ck_assert_str_eq(walk, "b");
    pools[0].member_count = 1;
    int64_t before = atomic_load(&simulation->now);
    struct outcome outcome = deliver("www");
    ck_assert_int_eq(outcome.cause, CAUSE_RATE);
    ck_assert_str_eq(outcome.enhanced, "4.7.1");
    ck_assert_str_eq(outcome.text, "TPSP a: all its connections are in use, 1 of max-connections");
    ck_assert_int_ge(atomic_load(&simulation->now) - before, 1900 * INT64_C(1000000)); /* rate-limit-wait */
    ck_assert(!connections_wanted(others, &tpsps[0]));
    pools[0].overflow = 1;
    deliver("wwww");
    ck_assert_str_eq(walk, "d");
    connections_let_go(others, &tpsps[0]);
    limit(0, 1);
    tpsps[0].global_rate.window_ms = 7200000;
    deliver("wwww");
    connections_let_go(leases, &tpsps[0]);
    deliver("wwww"); /* over its rate: takes no connection */
    ck_assert_str_eq(walk, "d");
    ck_assert(!connections_is_held(leases, &tpsps[0]));
    connections_close(leases);
    connections_close(others);
    char path[128];
    snprintf(path, sizeof path, "%s/connections", simulation->dir);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(fewer_connections_that_a_tpsp_said_it_allows_count)
{
    static const struct reply_action one = {.kind = REPLY_CONNECTIONS,
                                            .number = 1,
                                            .for_ms = 3600000,
                                            .after = 1,
                                            .reason = "x",
                                            .rule = "",
                                            .source = ""};
    const struct slow_down slow_down = {&config, table, &tpsps[0], PROVIDER_DEFAULT};
    struct outcome error;
    char path[128];

    config.state_dir = simulation->dir;
    config.slow_down.enabled = true;
    struct connections_desk *others = connections_open(&config);
    leases = connections_open(&config);
    slow_down_hear(&slow_down, &(struct slow_down_heard){
                                   .action = &one, .recipient = "", .text = "too many", .trusted = true});
    ck_assert_uint_eq(slow_down_connections(&slow_down), 1);
    ck_assert_int_eq(connections_take(others, &tpsps[0], 1, &error), CONNECTIONS_TAKEN);
    deliver("www");
    ck_assert_str_eq(walk, "b");
    pools[0].member_count = 1;
    ck_assert_str_eq(deliver("www").text, "TPSP a: all its connections are in use, 1 that it said it allows");
    atomic_fetch_add(&simulation->now, HOUR);
    deliver("www");
    ck_assert_str_eq(walk, "a");
    connections_close(leases);
    connections_close(others);
    snprintf(path, sizeof path, "%s/connections", simulation->dir);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* --- routes -------------------------------------------------------------------------------------- */

static struct config_route routes[] = {{"gmail", 2}, {"yahoo", 1}, {"default", 0}};

static void route_by(enum config_strategy strategy, size_t count)
{
    pools[0].strategy = strategy;
    pools[0].routes = routes;
    pools[0].route_count = count;
}

START_TEST(the_routed_member_is_first_and_the_others_follow_in_their_order)
{
    static const struct {
        enum provider_category provider;
        size_t routes;
        const char *walk;
    } cases[] = {
        {PROVIDER_GMAIL, 3, "cab"},   {PROVIDER_YAHOO, 3, "bac"},   {PROVIDER_AOL, 3, "abc"},
        {PROVIDER_DEFAULT, 3, "abc"}, {PROVIDER_DEFAULT, 2, "abc"}, {PROVIDER_GMAIL, 1, "cab"},
    };

    route_by(STRATEGY_BY_PROVIDER, cases[_i].routes);
    facts.provider = cases[_i].provider;
    deliver("ddd");
    ck_assert_str_eq(walk, cases[_i].walk);
    deliver("www");
    ck_assert_int_eq(walk[0], cases[_i].walk[0]);
}
END_TEST

START_TEST(a_routed_member_over_its_rate_or_left_alone_is_passed_over)
{
    route_by(STRATEGY_BY_PROVIDER, 3);
    facts.provider = PROVIDER_GMAIL;
    limit(2, 1);
    deliver("www");
    deliver("www");
    ck_assert_str_eq(walk, "a");
    for (int i = 0; i < BREAKER_THRESHOLD; i++)
        breaker_report(table, "a", BREAKER_CLOSED, BREAKER_FAILS);
    deliver("www");
    ck_assert_str_eq(walk, "b");
}
END_TEST

START_TEST(looking_at_the_order_takes_no_turn)
{
    size_t order[3], again[3];

    pools[0].strategy = STRATEGY_ROUND_ROBIN;
    deliver("www");
    pool_peek_order(table, &pools[0], &facts, order);
    pool_peek_order(table, &pools[0], &facts, again);
    ck_assert_mem_eq(order, again, sizeof order);
    deliver("www");
    ck_assert_int_eq(walk[0], "abc"[order[0]]);
}
END_TEST

/* --- breakers ------------------------------------------------------------------------------------ */

START_TEST(a_failing_member_is_left_alone_and_tried_again_by_one)
{
    for (int i = 0; i < BREAKER_THRESHOLD; i++) {
        deliver(_i == 0 ? "dww" : "hww");
        ck_assert_str_eq(walk, "ab");
    }
    deliver("www");
    ck_assert_str_eq(walk, "b");
    atomic_fetch_add(&simulation->now, BREAKER_FIRST_NS);
    deliver("dww");
    ck_assert_str_eq(walk, "ab");
    deliver("www");
    ck_assert_str_eq(walk, "b");
    atomic_fetch_add(&simulation->now, 2 * BREAKER_FIRST_NS);
    deliver("www");
    ck_assert_str_eq(walk, "a");
}
END_TEST

START_TEST(a_refused_message_is_no_failure_of_the_host)
{
    for (int i = 0; i < 3 * BREAKER_THRESHOLD; i++) {
        deliver(i % 2 ? "tww" : "pww");
        ck_assert_str_eq(walk, "a");
    }
}
END_TEST

START_TEST(a_message_is_not_dropped_while_one_who_might_take_it_is_left_alone)
{
    for (int i = 0; i < BREAKER_THRESHOLD; i++)
        deliver("dww");
    ck_assert_int_eq(deliver("wuu").class, OUTCOME_DEFERRED);
    ck_assert_str_eq(walk, "bc");
}
END_TEST

START_TEST(when_all_are_left_alone_the_message_waits_for_the_first_try)
{
    for (int i = 0; i < BREAKER_THRESHOLD; i++)
        deliver("ddd");
    struct outcome outcome = deliver("www");
    ck_assert_str_eq(walk, "");
    ck_assert_int_eq(outcome.class, OUTCOME_DEFERRED);
    ck_assert_int_eq(outcome.cause, CAUSE_OURS); /* no attempt: it never leads to a bounce */
    ck_assert_str_eq(outcome.enhanced, "4.4.1");
    ck_assert_str_eq(outcome.text, "TPSP a is left alone after 5 failures in a row, next attempt in 5 s; "
                                   "no other TPSP of the pool can take the message");
}
END_TEST

START_TEST(a_try_is_passed_on_by_who_has_no_slot)
{
    limit(0, 1);
    pools[0].member_count = 1;
    deliver("w");
    for (int i = 0; i < BREAKER_THRESHOLD; i++)
        breaker_report(table, "a", BREAKER_CLOSED, BREAKER_FAILS);
    atomic_fetch_add(&simulation->now, BREAKER_FIRST_NS);
    ck_assert_int_eq(deliver("w").cause, CAUSE_RATE);
    ck_assert_int_eq(breaker_look(table, "a").state, BREAKER_TRY);
}
END_TEST

START_TEST(a_cursor_given_up_gives_back_what_it_took)
{
    const struct config_tpsp *tpsp;
    struct pool_cursor cursor;
    struct outcome outcome;

    limit(0, 1);
    for (int i = 0; i < 3; i++) {
        pool_begin(&cursor, &(struct admission_gate){.config = &config, .table = table}, &pools[0], &facts,
                   INT64_MAX / 1000000 - 1);
        ck_assert(pool_next(&cursor, &tpsp, &outcome));
        ck_assert_str_eq(tpsp->name, "a");
        pool_end(&cursor);
    }
}
END_TEST

START_TEST(a_delivery_out_of_time_asks_nobody_else)
{
    const struct config_tpsp *tpsp;
    struct pool_cursor cursor;
    struct outcome outcome;

    pool_begin(&cursor, &(struct admission_gate){.config = &config, .table = table}, &pools[0], &facts,
               atomic_load(&simulation->now) / 1000000 + 10);
    ck_assert(pool_next(&cursor, &tpsp, &outcome));
    atomic_fetch_add(&simulation->now, SECOND);
    bool contacted = behave('h', &outcome);
    pool_report(&cursor, &outcome, (struct pool_evidence){.contacted = contacted});
    ck_assert(!pool_next(&cursor, &tpsp, &outcome));
    ck_assert_int_eq(outcome.smtp_code, 421);
    pool_end(&cursor);
}
END_TEST

UNIT_SUITE(pool_suite)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = tcase_create("pool");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, failover_goes_on_after_host_trouble_alone, 0,
                        sizeof failovers / sizeof failovers[0]);
    tcase_add_loop_test(tcase, each_member_has_its_share_also_of_the_turns_of_those_that_fail, 0,
                        sizeof mixes / sizeof mixes[0]);
    tcase_add_test(tcase, shares_are_exact_in_a_round_and_mixed_within_it);
    tcase_add_test(tcase, processes_share_the_turns);
    tcase_add_test(tcase, a_member_over_its_rate_is_passed_over);
    tcase_add_test(tcase, overflow_begins_when_all_members_are_over_their_rate);
    tcase_add_test(tcase, overflow_takes_over_from_those_that_are_left_alone);
    tcase_add_test(tcase, overflow_is_not_for_those_that_are_down);
    tcase_add_test(tcase, when_all_connections_are_in_use_the_next_member_is_asked_then_one_is_waited_for);
    tcase_add_test(tcase, fewer_connections_that_a_tpsp_said_it_allows_count);
    tcase_add_loop_test(tcase, the_routed_member_is_first_and_the_others_follow_in_their_order, 0, 6);
    tcase_add_test(tcase, a_routed_member_over_its_rate_or_left_alone_is_passed_over);
    tcase_add_test(tcase, looking_at_the_order_takes_no_turn);
    tcase_add_test(tcase, when_all_are_over_their_rate_the_first_slot_is_named);
    tcase_add_test(tcase, a_slot_that_comes_soon_is_waited_for);
    tcase_add_test(tcase, a_tpsp_that_was_not_reached_keeps_its_slots);
    tcase_add_test(tcase, over_the_rate_counts_for_more_than_down);
    tcase_add_loop_test(tcase, a_failing_member_is_left_alone_and_tried_again_by_one, 0, 2);
    tcase_add_test(tcase, a_refused_message_is_no_failure_of_the_host);
    tcase_add_test(tcase, a_message_is_not_dropped_while_one_who_might_take_it_is_left_alone);
    tcase_add_test(tcase, when_all_are_left_alone_the_message_waits_for_the_first_try);
    tcase_add_test(tcase, a_try_is_passed_on_by_who_has_no_slot);
    tcase_add_test(tcase, a_cursor_given_up_gives_back_what_it_took);
    tcase_add_test(tcase, a_delivery_out_of_time_asks_nobody_else);
    suite_add_tcase(suite, tcase);
    return suite;
}
