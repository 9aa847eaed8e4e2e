#include "policy/pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "policy/breaker_share.h"
#include "policy/limit_words.h"
#include "policy/pool_turn.h"
#include "policy/slow_down.h"
#include "policy/suspension.h"

#define MS_NS INT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)

/* Take a turn, unless this delivery has one in that pool. False with *error_r set. */
static bool take_turn(struct pool_cursor *cursor, const struct config_pool *pool, struct outcome *error_r)
{
    size_t **order = &cursor->orders[pool - cursor->config->pools];
    uint64_t turn;

    if (*order != NULL)
        return true;
    if (!pool_turn_take(cursor->table, pool, &turn, error_r))
        return false;
    *order = xcalloc(pool->member_count, sizeof **order);
    pool_order(pool, &cursor->facts, turn, *order);
    return true;
}

/* --- whether a member can have the message ----------------------------------------------------- */

static int64_t seconds_until(const struct pool_cursor *cursor, int64_t time_ns)
{
    int64_t wait = time_ns - rate_table_now(cursor->table);

    return wait <= SECOND_NS ? 1 : (wait + SECOND_NS - 1) / SECOND_NS;
}

static void note_breaker(struct pool_cursor *cursor, const struct config_tpsp *tpsp,
                         const struct breaker *breaker)
{
    struct pool_obstacles *obstacles = &cursor->obstacles;

    if (obstacles->left_alone && breaker->until_ns >= obstacles->retry_ns)
        return;
    obstacles->left_alone = true;
    obstacles->retry_ns = breaker->until_ns;
    outcome_local(&obstacles->breaker, "4.4.1",
                  "TPSP %s" LIMIT_WORDS_ALONE "%u failures in a row%s, next attempt in %" PRId64 " s%s",
                  tpsp->name, breaker->failures, breaker_whose(breaker),
                  seconds_until(cursor, breaker->until_ns),
                  cursor->pool->member_count > 1 ? "; no other TPSP of the pool can take the message" : "");
}

static void note_rate(struct pool_cursor *cursor, const struct outcome *why, int64_t next_ns)
{
    struct pool_obstacles *obstacles = &cursor->obstacles;

    if (obstacles->over_rate && next_ns >= obstacles->slot_ns)
        return;
    obstacles->over_rate = true;
    obstacles->slot_ns = next_ns;
    obstacles->rate = *why;
}

enum answer { GIVEN, PASSED_OVER, OVER_RATE, TROUBLE };

/* A connection that is kept from before is as good as a free one. */
static enum rate_answer take_connection(const struct pool_cursor *cursor, const struct config_tpsp *tpsp,
                                        bool *taken_r, int64_t *next_r, struct outcome *why_r)
{
    struct connections_desk *leases = cursor->gate.leases;
    const struct slow_down slow_down = {cursor->config, cursor->table, tpsp, cursor->facts.provider};
    unsigned limit = tpsp->max_connections;

    *taken_r = false;
    unsigned said = leases != NULL ? slow_down_connections(&slow_down) : 0;
    if (said > 0 && (limit == 0 || said < limit))
        limit = said;
    switch (leases == NULL ? CONNECTIONS_HELD : connections_take(leases, tpsp, limit, why_r)) {
    case CONNECTIONS_TAKEN:
        *taken_r = true;
        return RATE_GRANTED;
    case CONNECTIONS_HELD:
        return RATE_GRANTED;
    case CONNECTIONS_NONE_FREE:
        *next_r = rate_table_now(cursor->table) + CONNECTIONS_POLL_NS;
        outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                    "TPSP %s" LIMIT_WORDS_CONNECTIONS "%u %s", tpsp->name, limit,
                    limit == tpsp->max_connections ? "of max-connections" : "that it said it allows");
        return RATE_REFUSED;
    default:
        return RATE_TROUBLE;
    }
}

/* All that the delivery needs, or nothing. */
static enum rate_answer take_all(struct pool_cursor *cursor, const struct config_tpsp *tpsp,
                                 struct rate_set *set, int64_t *next_r, struct outcome *why_r)
{
    bool connection;
    enum rate_answer answer = take_connection(cursor, tpsp, &connection, next_r, why_r);

    if (answer == RATE_GRANTED)
        answer = admission_take(&cursor->gate, set, &cursor->admission, next_r, why_r);
    if (answer != RATE_GRANTED && connection)
        connections_let_go(cursor->gate.leases, tpsp);
    return answer;
}

/* With a slot may be heard that all hosts leave a TPSP alone. Then it is asked like one of which that was
 * known before: who tries has to say so first. */
static bool is_left_alone(const struct pool_cursor *cursor, const struct config_tpsp *tpsp,
                          struct breaker *breaker)
{
    if (cursor->gate.cluster == NULL || breaker->state != BREAKER_CLOSED ||
        breaker_look(cursor->table, tpsp->name).state == BREAKER_CLOSED)
        return false;
    *breaker = breaker_share_ask(&cursor->gate, tpsp);
    return breaker->state == BREAKER_OPEN;
}

static enum answer try_member(struct pool_cursor *cursor, const struct config_tpsp *tpsp,
                              struct outcome *error_r)
{
    struct rate_set set;
    int64_t next;

    if (!rate_set_init(&set, tpsp, cursor->facts.provider, cursor->config->rate_burst, error_r))
        return TROUBLE;
    struct breaker breaker = breaker_share_ask(&cursor->gate, tpsp);
    if (breaker.state == BREAKER_OPEN) {
        note_breaker(cursor, tpsp, &breaker);
        return PASSED_OVER;
    }
    enum rate_answer answer = take_all(cursor, tpsp, &set, &next, error_r);
    if (answer == RATE_GRANTED && is_left_alone(cursor, tpsp, &breaker)) {
        admission_give_back(&cursor->gate, &cursor->admission);
        note_breaker(cursor, tpsp, &breaker);
        return PASSED_OVER;
    }
    if (answer == RATE_GRANTED) {
        cursor->tpsp = tpsp;
        cursor->breaker = breaker.state;
        return GIVEN;
    }
    breaker_share_report(&cursor->gate, tpsp, breaker.state, BREAKER_UNKNOWN, false);
    if (answer == RATE_TROUBLE)
        return TROUBLE;
    note_rate(cursor, error_r, next);
    return OVER_RATE;
}

/* A pool whose mail waits; that of others, which overflows to it, does, too. */
static bool is_suspended(struct pool_cursor *cursor, const struct config_pool *pool)
{
    const struct suspension_scope scope = {.pool = pool->name};
    struct outcome why;
    int64_t until_ns;

    if (!suspension_bars(cursor->table, &scope, clock_realtime_ms(), &until_ns, &why))
        return false;
    note_rate(cursor, &why, until_ns);
    return true;
}

/* One round over the pool, and over its overflow as long as somebody is passed over. */
static enum answer try_all(struct pool_cursor *cursor, struct outcome *error_r)
{
    const struct config *config = cursor->config;
    const struct config_pool *pool = cursor->pool;
    bool passed_over;

    memset(&cursor->obstacles, 0, sizeof cursor->obstacles);
    do {
        passed_over = false;
        if (is_suspended(cursor, pool))
            return OVER_RATE;
        if (!take_turn(cursor, pool, error_r))
            return TROUBLE;
        for (size_t i = 0; i < pool->member_count; i++) {
            size_t member = cursor->orders[pool - config->pools][i];
            size_t tpsp = pool->members[member].tpsp;
            if (cursor->done[tpsp])
                continue;
            enum answer answer = try_member(cursor, &config->tpsps[tpsp], error_r);
            if (answer == GIVEN || answer == TROUBLE)
                return answer;
            passed_over = true;
        }
        pool = pool->overflow < 0 ? NULL : &config->pools[pool->overflow];
    } while (passed_over && pool != NULL);
    return cursor->obstacles.over_rate ? OVER_RATE : PASSED_OVER;
}

/* --- the walk ---------------------------------------------------------------------------------- */

void pool_begin(struct pool_cursor *cursor_r, const struct admission_gate *gate,
                const struct config_pool *pool, const struct route_facts *facts, int64_t deadline_ms)
{
    const struct config *config = gate->config;

    memset(cursor_r, 0, sizeof *cursor_r);
    cursor_r->gate = *gate;
    cursor_r->config = config;
    cursor_r->pool = pool;
    cursor_r->table = gate->table;
    cursor_r->facts = *facts;
    cursor_r->deadline_ns = deadline_ms * MS_NS;
    cursor_r->done = xcalloc(config->tpsp_count, sizeof *cursor_r->done);
    cursor_r->orders = xcalloc(config->pool_count, sizeof *cursor_r->orders);
}

/* Wait for the first slot, if it comes in time. */
static bool wait_for_slot(struct pool_cursor *cursor)
{
    int64_t now = rate_table_now(cursor->table);

    if (cursor->wait_until_ns == 0) {
        cursor->wait_until_ns = now + cursor->config->rate_limit_wait_ms * MS_NS;
        if (cursor->wait_until_ns > cursor->deadline_ns)
            cursor->wait_until_ns = cursor->deadline_ns;
    }
    if (cursor->obstacles.slot_ns > cursor->wait_until_ns || now >= cursor->wait_until_ns)
        return false;
    rate_table_sleep_until(cursor->table, cursor->obstacles.slot_ns);
    return true;
}

/* The message needs SMTPUTF8, and this TPSP does not offer it (the relay's own 5.6.7, no reply of a
 * server). */
static bool is_unfit(const struct outcome *outcome)
{
    return outcome->class == OUTCOME_DROPPED && outcome->smtp_code == 0 &&
           strcmp(outcome->enhanced, "5.6.7") == 0;
}

/* What one TPSP is not fit for is not dropped as long as another could not be asked. */
static void keep_for_others(const struct pool_cursor *cursor, bool out_of_time, struct outcome *outcome)
{
    if (!cursor->asked || !is_unfit(outcome))
        return;
    if (cursor->deferred)
        *outcome = cursor->deferral;
    else if (cursor->obstacles.left_alone)
        *outcome = cursor->obstacles.breaker;
    else if (out_of_time)
        outcome_local(outcome, "4.4.1", "no time was left to ask another TPSP of the pool for SMTPUTF8");
}

bool pool_next(struct pool_cursor *cursor, const struct config_tpsp **tpsp_r, struct outcome *outcome)
{
    enum answer answer;
    struct outcome error;

    if (cursor->final)
        return false;
    if (cursor->asked && rate_table_now(cursor->table) >= cursor->deadline_ns) {
        keep_for_others(cursor, true, outcome);
        return false;
    }
    do
        answer = try_all(cursor, &error);
    while (answer == OVER_RATE && wait_for_slot(cursor));
    if (cursor->gate.leases != NULL)
        connections_stop_waiting(cursor->gate.leases);
    if (answer == GIVEN) {
        *tpsp_r = cursor->tpsp;
        return true;
    }
    cursor->final = true;
    if (answer == TROUBLE)
        *outcome = error;
    else if (answer == OVER_RATE)
        *outcome = cursor->obstacles.rate;
    else if (!cursor->asked)
        *outcome = cursor->obstacles.breaker;
    else
        keep_for_others(cursor, false, outcome);
    return false;
}

int64_t pool_next_slot(const struct pool_cursor *cursor)
{
    return cursor->obstacles.over_rate ? cursor->obstacles.slot_ns : 0;
}

/* Asked of what a TPSP came to: trouble of ours with this one (its login, its name, its certificate) is none
 * with the next. */
static bool another_may_do_better(const struct outcome *outcome)
{
    return outcome->class == OUTCOME_DEFERRED && (outcome_of_tpsp(outcome) || outcome->cause == CAUSE_OURS);
}

static bool is_refusal(const struct outcome *outcome)
{
    return outcome->cause == CAUSE_ACCOUNT || outcome->cause == CAUSE_HOST || outcome->cause == CAUSE_SESSION;
}

static enum breaker_result judge_refusal(const struct pool_cursor *cursor, const struct outcome *outcome,
                                         const struct pool_evidence *evidence)
{
    const char *domain = address_domain(evidence->recipient);

    if (evidence->before_recipient)
        return outcome->cause == CAUSE_SESSION ? BREAKER_FAILS : BREAKER_REFUSES;
    if (breaker_suspect(cursor->table, cursor->tpsp->name, domain != NULL ? domain : ""))
        return BREAKER_REFUSES;
    return cursor->breaker == BREAKER_TRY ? BREAKER_FAILS : BREAKER_UNKNOWN;
}

static enum breaker_result judge(const struct pool_cursor *cursor, const struct outcome *outcome,
                                 const struct pool_evidence *evidence)
{
    if (evidence->heeded) /* it works, and would be left alone for saying how it works best */
        return BREAKER_WORKS;
    if (is_refusal(outcome) && evidence->recipient != NULL)
        return judge_refusal(cursor, outcome, evidence);
    if (another_may_do_better(outcome) || outcome->cause == CAUSE_IN_DOUBT)
        return BREAKER_FAILS;
    return outcome->cause == CAUSE_NONE || outcome->cause == CAUSE_MESSAGE ? BREAKER_WORKS : BREAKER_UNKNOWN;
}

void pool_report(struct pool_cursor *cursor, const struct outcome *outcome, struct pool_evidence evidence)
{
    breaker_share_report(&cursor->gate, cursor->tpsp, cursor->breaker, judge(cursor, outcome, &evidence),
                         outcome->cause == CAUSE_ACCOUNT);
    if (!evidence.contacted)
        admission_give_back(&cursor->gate, &cursor->admission);
    cursor->done[cursor->tpsp - cursor->config->tpsps] = true;
    cursor->asked = true;
    if (another_may_do_better(outcome)) {
        cursor->deferred = true;
        cursor->deferral = *outcome;
    } else {
        cursor->final = !is_unfit(outcome);
    }
    cursor->tpsp = NULL;
}

bool pool_connection_is_wanted(const struct pool_cursor *cursor)
{
    return cursor->admission.better_not_kept;
}

void pool_break_off(struct pool_cursor *cursor, bool contacted)
{
    breaker_share_report(&cursor->gate, cursor->tpsp, cursor->breaker, BREAKER_UNKNOWN, false);
    if (!contacted)
        admission_give_back(&cursor->gate, &cursor->admission);
    cursor->asked = true;
    cursor->final = true;
    cursor->tpsp = NULL;
}

void pool_end(struct pool_cursor *cursor)
{
    if (cursor->tpsp != NULL) { /* never reported, hence never contacted */
        breaker_share_report(&cursor->gate, cursor->tpsp, cursor->breaker, BREAKER_UNKNOWN, false);
        admission_give_back(&cursor->gate, &cursor->admission);
    }
    for (size_t i = 0; i < cursor->config->pool_count; i++)
        free(cursor->orders[i]);
    free(cursor->orders);
    free(cursor->done);
}
