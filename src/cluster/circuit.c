#include "cluster/circuit.h"

#define FAILURES_MAX 1000

static int64_t word(int64_t probe_ms, int64_t failures)
{
    return probe_ms << 16 | failures;
}

/* No later than anybody could have set it: a word that a reboot or damage left far in the future blocks
 * nobody. */
static int64_t probe_of(int64_t value, int64_t now_ms)
{
    int64_t probe_ms = value >> 16, latest_ms = now_ms + CLUSTER_LONGEST_PAUSE_MS;

    return probe_ms > latest_ms ? latest_ms : probe_ms;
}

enum circuit_state circuit_ask(struct cluster_shared *shared, int64_t now_ms)
{
    int64_t value = atomic_load(&shared->circuit);

    if (value == 0)
        return CIRCUIT_CLOSED;
    if (probe_of(value, now_ms) > now_ms)
        return CIRCUIT_OPEN;
    /* whoever is killed while probing holds the others up for as long as a probe may take, and no longer */
    int64_t claimed = word(now_ms + 2 * CLUSTER_PATIENCE_MS, value & 0xffff);
    return atomic_compare_exchange_strong(&shared->circuit, &value, claimed) ? CIRCUIT_PROBE : CIRCUIT_OPEN;
}

void circuit_failed(struct cluster_shared *shared, int64_t now_ms)
{
    int64_t value = atomic_load(&shared->circuit), failures = (value & 0xffff) + 1;
    int64_t pause_ms = CLUSTER_FIRST_PAUSE_MS, none = 0;

    if (failures > FAILURES_MAX)
        failures = FAILURES_MAX;
    for (int64_t i = 1; i < failures && pause_ms < CLUSTER_LONGEST_PAUSE_MS; i++)
        pause_ms *= 2;
    if (pause_ms > CLUSTER_LONGEST_PAUSE_MS)
        pause_ms = CLUSTER_LONGEST_PAUSE_MS;
    /* of many that fail together one is counted */
    atomic_compare_exchange_strong(&shared->circuit, &value, word(now_ms + pause_ms, failures));
    atomic_compare_exchange_strong(&shared->away_ms, &none, now_ms);
}

void circuit_works(struct cluster_shared *shared)
{
    if (atomic_load(&shared->circuit) != 0)
        atomic_store(&shared->circuit, 0);
    if (atomic_load(&shared->away_ms) != 0)
        atomic_store(&shared->away_ms, 0);
}
