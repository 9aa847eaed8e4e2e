#include "cluster/circuit.h"

#define FAILURES_MAX 1000

static int64_t word(int64_t probe_ms, int64_t failures)
{
    return probe_ms << 16 | failures;
}

/* Whether the word asks to wait. One that lies further ahead than anybody sets it, left by a reboot or
 * damaged, does not; twice as far, for of two processes one may have looked at the clock long before the
 * other. */
static bool is_pause(int64_t value, int64_t now_ms)
{
    int64_t probe_ms = value >> 16;

    return probe_ms > now_ms && probe_ms <= now_ms + 2 * CLUSTER_LONGEST_PAUSE_MS;
}

enum circuit_state circuit_ask(struct cluster_shared *shared, int64_t now_ms, int64_t *seen_r)
{
    int64_t value = *seen_r = atomic_load(&shared->circuit);

    if (value == 0)
        return CIRCUIT_CLOSED;
    if (is_pause(value, now_ms))
        return CIRCUIT_OPEN;
    /* whoever is killed while probing holds the others up for as long as a probe may take, and no longer */
    *seen_r = word(now_ms + 2 * CLUSTER_PATIENCE_MS, value & 0xffff);
    return atomic_compare_exchange_strong(&shared->circuit, &value, *seen_r) ? CIRCUIT_PROBE : CIRCUIT_OPEN;
}

void circuit_failed(struct cluster_shared *shared, int64_t seen, int64_t now_ms)
{
    int64_t failures = (seen & 0xffff) + 1, pause_ms = CLUSTER_FIRST_PAUSE_MS, none = 0;

    if (failures > FAILURES_MAX)
        failures = FAILURES_MAX;
    for (int64_t i = 1; i < failures && pause_ms < CLUSTER_LONGEST_PAUSE_MS; i++)
        pause_ms *= 2;
    if (pause_ms > CLUSTER_LONGEST_PAUSE_MS)
        pause_ms = CLUSTER_LONGEST_PAUSE_MS;
    /* of many that ask together and fail one is counted: the others find another word than they saw */
    if (atomic_compare_exchange_strong(&shared->circuit, &seen, word(now_ms + pause_ms, failures)))
        atomic_compare_exchange_strong(&shared->away_ms, &none, now_ms);
}

void circuit_works(struct cluster_shared *shared)
{
    if (atomic_load(&shared->circuit) != 0)
        atomic_store(&shared->circuit, 0);
    if (atomic_load(&shared->away_ms) != 0)
        atomic_store(&shared->away_ms, 0);
}
