#include "policy/admission_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "policy/connections_share.h"
#include "policy/limit_words.h"
#include "policy/shadow.h"
#include "policy/slow_down.h"
#include "policy/suspension.h"
#include "policy/told.h"
#include "policy/warm_up.h"

#define US_NS INT64_C(1000)
#define MS_NS INT64_C(1000000)
#define NEWS_MAX 5                    /* within one delivery */
#define CLUSTER_POLL_NS (100 * MS_NS) /* how often who waits for a connection of the cluster looks again */

_Static_assert(sizeof(struct cluster_shared) <= sizeof((struct rate_entry *)0)->words,
               "what the processes share about a cluster lies in one entry of the table");
_Static_assert(CLUSTER_LANES_MAX == RATE_BURST_MAX, "a lane here is a lane there");

/* --- what the processes of this host share -------------------------------------------------------- */

struct cluster_shared *admission_shared(const struct admission_gate *gate, struct outcome *error_r)
{
    struct rate_key key;

    if (!rate_table_ready(gate->table, rate_table_now(gate->table), error_r))
        return NULL;
    rate_key_set(&key, gate->config->cluster.name, "cluster", 0);
    struct rate_entry *entry = rate_table_obtain(gate->table, &key, error_r);
    if (entry == NULL)
        return NULL;
    struct cluster_shared *shared = (struct cluster_shared *)(void *)entry->words;
    if (gate->cluster != NULL)
        cluster_attach(gate->cluster, shared);
    return shared;
}

/* --- what this host was given, in its own lanes ---------------------------------------------------- */

void admission_name_limit(const char *tpsp, const struct rate_limit *limit, struct cluster_limit *limit_r)
{
    char kind[RATE_KIND_SIZE];

    if (rate_limit_is_slowed(limit))
        snprintf(limit_r->key, sizeof limit_r->key, "%.100s slow-down %.40s", tpsp,
                 limit->provider != NULL ? limit->provider : "all");
    else
        snprintf(limit_r->key, sizeof limit_r->key, "%.100s %s %" PRId64, tpsp, rate_limit_kind(limit, kind),
                 limit->rate.window_ms);
    limit_r->lanes = limit->lanes;
    limit_r->pace_us = (limit->pace_ns + US_NS - 1) / US_NS;
    limit_r->window_us = rate_limit_is_slowed(limit) ? limit_r->pace_us : limit->key.window_ns / US_NS;
}

void admission_note_key(const char *tpsp, const struct rate_limit *limit, struct rate_key *key_r)
{
    char kind[RATE_LABEL_SIZE], of[RATE_KIND_SIZE];

    snprintf(kind, sizeof kind, "cluster %s", rate_limit_kind(limit, of));
    rate_key_set(key_r, tpsp, kind, limit->key.window_ns);
}

static void raise_word(_Atomic int64_t *word, int64_t value)
{
    int64_t before = atomic_load(word);

    while (before < value && !atomic_compare_exchange_weak(word, &before, value))
        ;
}

/* False when it cannot be noted; it then does not count. */
static bool note_slots(const struct admission_gate *gate, const struct rate_set *set,
                       const struct cluster_reply *reply, int64_t now_ns, struct outcome *error_r)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct cluster_slot *slot = &reply->slots[i];
        struct rate_key key;
        if (rate_limit_is_slowed(&set->limits[i]))
            continue; /* its pace may begin anew after a failover */
        admission_note_key(set->tpsp, &set->limits[i], &key);
        struct rate_entry *entry = rate_table_obtain(gate->table, &key, error_r);
        if (entry == NULL)
            return false;
        raise_word(&entry->words[slot->lane], now_ns + (slot->after_us - reply->now_us) * US_NS);
    }
    return true;
}

/* --- taking ------------------------------------------------------------------------------------------ */

static void explain_gathering(const struct admission_gate *gate, int64_t wait_us, struct outcome *why_r)
{
    outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                "cluster %s" LIMIT_WORDS_GATHERING "; slots again in %.1f s", gate->config->cluster.name,
                (double)wait_us / 1000000);
}

/* in_use 0: the server is away, and this host's share of them is. */
static void explain_connections(const struct admission_gate *gate, const struct rate_set *set,
                                unsigned in_use, int64_t *next_r, struct outcome *why_r)
{
    *next_r = rate_table_now(gate->table) + CLUSTER_POLL_NS;
    if (in_use > 0)
        outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                    "TPSP %s: as many connections as it allows are in use by the hosts of cluster %s: %u",
                    set->tpsp, gate->config->cluster.name, in_use);
    else
        outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                    "TPSP %s: this host's share of the connections that it allows is in use, while cluster "
                    "%s is away (cluster: when-away)",
                    set->tpsp, gate->config->cluster.name);
}

static enum rate_answer away(const struct admission_gate *gate, struct rate_set *set,
                             struct admission *admission_r, int64_t *next_r, struct outcome *why_r)
{
    const struct config_cluster *cluster = &gate->config->cluster;
    const struct rate_limit *limit;

    bool connected = connections_share_alone(gate, set->of);
    if (cluster->when_away == WHEN_AWAY_HOLD || !rate_set_share(set, cluster->share_ppm)) {
        outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                    "cluster %s" LIMIT_WORDS_AWAY "%s: %s; mail is held until it is back "
                    "(cluster: when-away)",
                    cluster->name, set->tpsp, cluster_why_away(gate->cluster));
        *next_r = ADMISSION_NEVER;
        return RATE_REFUSED;
    }
    if (!connected) {
        explain_connections(gate, set, 0, next_r, why_r);
        return RATE_REFUSED;
    }
    enum rate_answer answer = rate_limit_take(gate->table, set, &admission_r->grant, &limit, next_r, why_r);
    if (answer == RATE_REFUSED)
        rate_limit_explain(set->tpsp, limit, *next_r - rate_table_now(gate->table), why_r);
    return answer;
}

/* news_r: what the hosts tell each other is another by now; with it in the table, it is to be asked again. */
static enum rate_answer take_from_cluster(const struct admission_gate *gate, struct rate_set *set,
                                          struct admission *admission_r, bool *news_r, int64_t *next_r,
                                          struct outcome *why_r)
{
    const struct cluster_told told = {.tpsp = set->tpsp, .version = told_version(gate, set->of)};
    struct cluster_shared *shared = admission_shared(gate, why_r);
    struct cluster_connection connection;
    char host[CONNECTIONS_HOST_SIZE];
    static _Thread_local struct cluster_reply reply; /* much for a stack */

    if (shared == NULL)
        return RATE_TROUBLE;
    bool connects = connections_share_ask(gate, set->of, shared, host, &connection);
    admission_r->count = set->count;
    for (size_t i = 0; i < set->count; i++)
        admission_name_limit(set->tpsp, &set->limits[i], &admission_r->limits[i]);

    for (int tries = 0; tries < 3; tries++) { /* again when an epoch began meanwhile */
        int64_t deadline_ms = clock_monotonic_ms() + CLUSTER_PATIENCE_MS;
        if (admission_shared(gate, why_r) == NULL)
            return RATE_TROUBLE;
        switch (cluster_take(gate->cluster, admission_r->limits, set->count, connects ? &connection : NULL,
                             &told, deadline_ms, &reply)) {
        case CLUSTER_GRANTED:
            if (!note_slots(gate, set, &reply, rate_table_now(gate->table), why_r))
                return RATE_TROUBLE;
            if (connects && !connections_confirm(gate->leases, set->of)) {
                outcome_local(why_r, "4.3.0", "cannot lock %s/connections", gate->config->state_dir);
                return RATE_TROUBLE;
            }
            if (!cluster_epoch_is(gate->cluster, reply.epoch))
                continue;
            memcpy(admission_r->slots, reply.slots, set->count * sizeof reply.slots[0]);
            admission_r->by_cluster = true;
            admission_r->better_not_kept = reply.better_not_kept;
            return RATE_GRANTED;
        case CLUSTER_NEWS:
            *news_r = told_hear(gate, set->of, &reply, why_r);
            return *news_r ? RATE_REFUSED : RATE_TROUBLE;
        case CLUSTER_BUSY:
            connections_let_go(gate->leases, set->of);
            explain_connections(gate, set, reply.connections, next_r, why_r);
            return RATE_REFUSED;
        case CLUSTER_REFUSED:
            *next_r = rate_table_now(gate->table) + reply.wait_us * US_NS;
            rate_limit_explain(set->tpsp, &set->limits[reply.limit], reply.wait_us * US_NS, why_r);
            return RATE_REFUSED;
        case CLUSTER_EPOCH:
            if (!cluster_epoch_is(gate->cluster, reply.epoch) &&
                !admission_bring_all(gate, reply.epoch, deadline_ms, &reply.wait_us))
                return away(gate, set, admission_r, next_r, why_r);
            if (reply.wait_us <= 0)
                continue;
            *next_r = rate_table_now(gate->table) + reply.wait_us * US_NS;
            explain_gathering(gate, reply.wait_us, why_r);
            return RATE_REFUSED;
        default:
            return away(gate, set, admission_r, next_r, why_r);
        }
    }
    *next_r = rate_table_now(gate->table) + 100 * MS_NS;
    explain_gathering(gate, 100000, why_r);
    return RATE_REFUSED;
}

/* The TPSP, or its provider. */
static bool is_suspended(const struct admission_gate *gate, const struct rate_set *set, int64_t *until_r,
                         struct outcome *why_r)
{
    for (size_t i = 0; i < RATE_SET_SLOWED; i++) {
        const struct suspension_scope scope = {.tpsp = set->tpsp, .provider = set->slowed[i].provider};
        if (suspension_bars(gate->table, &scope, clock_realtime_ms(), until_r, why_r))
            return true;
    }
    return false;
}

bool admission_apply(const struct admission_gate *gate, struct rate_set *set, int64_t *until_r,
                     struct outcome *why_r)
{
    if (is_suspended(gate, set, until_r, why_r))
        return false;
    if (!slow_down_apply(gate->config, gate->table, set, until_r, why_r))
        return false;
    if (set->of->warm_up.given)
        warm_up_apply(gate->table, set, gate->config->rate_burst, false, clock_realtime_ms());
    return true;
}

static bool holds_connection(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    return gate->leases != NULL && connections_is_held(gate->leases, tpsp);
}

static enum rate_answer take(const struct admission_gate *gate, struct rate_set *set,
                             struct admission *admission_r, int64_t *next_r, struct outcome *why_r)
{
    const struct rate_limit *limit;

    admission_r->by_cluster = admission_r->better_not_kept = false;
    admission_r->grant.count = 0;
    for (int tries = 0; tries < NEWS_MAX; tries++) {
        bool news = false;
        if (!admission_apply(gate, set, next_r, why_r))
            return RATE_REFUSED;
        if (gate->cluster == NULL || (set->count == 0 && !holds_connection(gate, set->of)))
            break;
        enum rate_answer answer = take_from_cluster(gate, set, admission_r, &news, next_r, why_r);
        if (!news)
            return answer;
        *next_r = rate_table_now(gate->table) + 100 * MS_NS;
        outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                    "the hosts of cluster %s have news of TPSP %s faster than they can be heard",
                    gate->config->cluster.name, set->tpsp);
        if (tries == NEWS_MAX - 1)
            return RATE_REFUSED;
    }
    enum rate_answer answer = rate_limit_take(gate->table, set, &admission_r->grant, &limit, next_r, why_r);
    if (answer == RATE_REFUSED)
        rate_limit_explain(set->tpsp, limit, *next_r - rate_table_now(gate->table), why_r);
    return answer;
}

enum rate_answer admission_take(const struct admission_gate *gate, struct rate_set *set,
                                struct admission *admission_r, int64_t *next_r, struct outcome *why_r)
{
    enum rate_answer answer = take(gate, set, admission_r, next_r, why_r);

    if (answer == RATE_GRANTED && set->shadow_count > 0)
        shadow_take(gate->table, set);
    return answer;
}

/* The note of it stays: that this host believes the lane taken for longer than it was costs nothing but a
 * slot after a failover. */
void admission_give_back(const struct admission_gate *gate, struct admission *admission)
{
    struct outcome error;

    if (!admission->by_cluster) {
        rate_limit_give_back(gate->table, &admission->grant);
        return;
    }
    admission->by_cluster = false;
    if (admission_shared(gate, &error) == NULL)
        return;
    cluster_give_back(gate->cluster, admission->limits, admission->count, admission->slots,
                      clock_monotonic_ms() + CLUSTER_PATIENCE_MS);
}

/* --- for people -------------------------------------------------------------------------------------- */

unsigned admission_peek(const struct admission_gate *gate, struct rate_set *set, size_t index,
                        int64_t *next_r)
{
    struct cluster_limit limit;
    struct cluster_reply reply;
    struct outcome error;

    if (gate->cluster == NULL || admission_shared(gate, &error) == NULL)
        return rate_limit_peek(gate->table, &set->limits[index], next_r);
    admission_name_limit(set->tpsp, &set->limits[index], &limit);
    if (cluster_peek(gate->cluster, &limit, 1, clock_monotonic_ms() + CLUSTER_PATIENCE_MS, &reply) !=
        CLUSTER_DONE) {
        *next_r = ADMISSION_NEVER;
        return 0;
    }
    *next_r = rate_table_now(gate->table) + reply.peeked[0].wait_us * US_NS;
    return reply.peeked[0].available;
}

bool admission_reset(const struct admission_gate *gate, struct rate_set *set, struct outcome *error_r)
{
    struct cluster_limit limits[RATE_SET_MAX];

    shadow_reset(gate->table, set);
    for (size_t i = 0; i < set->count; i++) {
        struct rate_limit noted = set->limits[i];
        rate_limit_reset(gate->table, &set->limits[i]);
        admission_note_key(set->tpsp, &set->limits[i], &noted.key);
        rate_limit_reset(gate->table, &noted);
        admission_name_limit(set->tpsp, &set->limits[i], &limits[i]);
    }
    if (gate->cluster == NULL || (set->count == 0 && set->of->max_connections == 0))
        return true;
    if (admission_shared(gate, error_r) == NULL)
        return false;
    if (cluster_reset(gate->cluster, limits, set->count, set->tpsp,
                      clock_monotonic_ms() + CLUSTER_PATIENCE_MS) == CLUSTER_DONE)
        return true;
    outcome_local(error_r, "4.3.0", "cluster %s is away, its limits stay as they are: %s",
                  gate->config->cluster.name, cluster_why_away(gate->cluster));
    return false;
}
