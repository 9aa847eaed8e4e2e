/* What this host knows of the limits, brought to a server of another epoch: the part of admission that speaks
 * first. */
#include "base/clock.h"
#include "policy/admission_private.h"
#include "policy/connections_share.h"
#include "policy/told.h"
#include "policy/warm_up.h"

#define US_NS INT64_C(1000)

struct brought {
    const struct admission_gate *gate;
    int64_t epoch;
    int64_t deadline_ms;
    struct cluster_limit limits[CLUSTER_LIMITS_MAX];
    int64_t left_us[CLUSTER_LIMITS_MAX][CLUSTER_LANES_MAX];
    size_t count;
    struct cluster_reply reply;
};

static bool bring_some(struct brought *brought)
{
    const struct admission_gate *gate = brought->gate;

    enum cluster_answer answer = cluster_bring(gate->cluster, brought->epoch, brought->limits, brought->count,
                                               (const int64_t(*)[CLUSTER_LANES_MAX])brought->left_us,
                                               brought->deadline_ms, &brought->reply);
    brought->count = 0;
    return answer == CLUSTER_DONE;
}

static bool bring_limit(struct brought *brought, const char *tpsp, const struct rate_limit *limit)
{
    const struct admission_gate *gate = brought->gate;
    int64_t now = rate_table_now(gate->table);
    bool known = false;
    struct rate_key key;

    admission_note_key(tpsp, limit, &key);
    const struct rate_entry *entry = rate_table_find(gate->table, &key);
    if (entry == NULL)
        return true;
    for (unsigned lane = 0; lane < CLUSTER_LANES_MAX; lane++) {
        int64_t left = atomic_load(&entry->words[lane]) - now;
        brought->left_us[brought->count][lane] = left > 0 ? left / US_NS + 1 : 0;
        known |= left > 0;
    }
    if (!known)
        return true;
    struct cluster_limit *into = &brought->limits[brought->count++];
    admission_name_limit(tpsp, limit, into);
    into->lanes = CLUSTER_LANES_MAX; /* also those of a burst that was greater before */
    return brought->count < CLUSTER_LIMITS_MAX || bring_some(brought);
}

/* Those of this mailbox provider; those that hold for every provider come with the first. */
static bool bring_limits(struct brought *brought, const struct config_tpsp *tpsp,
                         enum provider_category provider)
{
    const struct admission_gate *gate = brought->gate;
    struct outcome error;
    struct rate_set set;

    if (!rate_set_init(&set, tpsp, provider, gate->config->rate_burst, &error))
        return false;
    warm_up_apply(gate->table, &set, gate->config->rate_burst, true, clock_realtime_ms());
    if (admission_shared(gate, &error) == NULL)
        return false;
    for (size_t i = 0; i < set.count; i++)
        if ((provider == 0 || set.limits[i].provider != NULL) &&
            !bring_limit(brought, set.tpsp, &set.limits[i]))
            return false;
    return true;
}

/* Of every TPSP every limit: a delivery's own are found among those of its mailbox provider. */
bool admission_bring_all(const struct admission_gate *gate, int64_t epoch, int64_t deadline_ms,
                         int64_t *wait_us_r)
{
    static _Thread_local struct brought brought;
    struct outcome error;

    if (admission_shared(gate, &error) == NULL)
        return false;
    brought.gate = gate;
    brought.epoch = epoch;
    brought.deadline_ms = deadline_ms;
    brought.count = 0;
    cluster_bringing(gate->cluster, epoch);
    for (size_t i = 0; i < gate->config->tpsp_count; i++)
        for (int provider = 0; provider < PROVIDER_COUNT; provider++)
            if (!bring_limits(&brought, &gate->config->tpsps[i], (enum provider_category)provider))
                return false;
    struct cluster_shared *shared = admission_shared(gate, &error);
    if (shared == NULL || !bring_some(&brought) || !connections_share_bring(gate, shared, epoch, deadline_ms))
        return false;
    told_doubt(gate);
    *wait_us_r = brought.reply.wait_us;
    if (admission_shared(gate, &error) == NULL)
        return false;
    cluster_brought(gate->cluster, epoch);
    return true;
}

bool admission_tend(const struct admission_gate *gate)
{
    int64_t deadline_ms = clock_monotonic_ms() + CLUSTER_PATIENCE_MS, wait_us;
    static const struct cluster_limit none;
    struct cluster_reply reply;
    struct outcome error;

    if (admission_shared(gate, &error) == NULL)
        return false;
    if (cluster_peek(gate->cluster, &none, 0, deadline_ms, &reply) != CLUSTER_DONE)
        return false;
    return cluster_epoch_is(gate->cluster, reply.epoch) ||
           admission_bring_all(gate, reply.epoch, clock_monotonic_ms() + CLUSTER_PATIENCE_MS, &wait_us);
}
