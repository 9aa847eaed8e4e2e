#include "policy/connections_share.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"

#define MS_US INT64_C(1000)
#define KEPT_MS 120000 /* what is kept for the next delivery, and ends late, is younger */
#define RENEW_MS 60000 /* an entry is renewed once in so long at most */

/* Of several who make it at once the first one counts. */
static bool make_id(struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *insert = store_statement(store, "INSERT OR IGNORE INTO meta VALUES (?, ?)", error_r);
    char id[UUID_SIZE];

    if (insert == NULL)
        return false;
    uuid_random(id);
    sqlite3_bind_text(insert, 1, CONNECTIONS_HOST_KEY, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, id, -1, SQLITE_STATIC);
    bool ok = store_run(store, insert, error_r);
    sqlite3_clear_bindings(insert);
    return ok;
}

int64_t connections_share_host(struct store *store, struct outcome *error_r)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char *id = store_get(store, CONNECTIONS_HOST_KEY);

    if (id == NULL && make_id(store, error_r))
        id = store_get(store, CONNECTIONS_HOST_KEY);
    for (const char *at = id; at != NULL && *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    if (id == NULL)
        return 0;
    free(id);
    return (int64_t)(hash | 1);
}

static struct cluster_connection connection_of(const struct admission_gate *gate,
                                               const struct config_tpsp *tpsp, int64_t host,
                                               char host_r[CONNECTIONS_HOST_SIZE])
{
    int64_t least_ms = gate->config->delivery_timeout_ms + KEPT_MS;

    snprintf(host_r, CONNECTIONS_HOST_SIZE, "%016" PRIx64, (uint64_t)host);
    return (struct cluster_connection){.tpsp = tpsp->name,
                                       .host = host_r,
                                       .least_us = least_ms * MS_US,
                                       .life_us = (least_ms + RENEW_MS) * MS_US};
}

bool connections_share_ask(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                           struct cluster_shared *shared, char host_r[CONNECTIONS_HOST_SIZE],
                           struct cluster_connection *connection_r)
{
    if (gate->leases == NULL || gate->host == 0)
        return false;
    if (atomic_load(&shared->host) != gate->host)
        atomic_store(&shared->host, gate->host);
    *connection_r = connection_of(gate, tpsp, gate->host, host_r);
    return connections_lease(gate->leases, tpsp, &connection_r->number, &connection_r->most);
}

/* The server forgets it before another process of this host can take the number: it would take that one's
 * word off. */
void connections_share_end(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    struct cluster_connection connection;
    char host[CONNECTIONS_HOST_SIZE];
    struct outcome ignored;
    struct cluster_shared *shared = gate->cluster != NULL ? admission_shared(gate, &ignored) : NULL;

    if (shared != NULL && connections_share_ask(gate, tpsp, shared, host, &connection))
        cluster_disconnect(gate->cluster, &connection, clock_monotonic_ms() + CLUSTER_PATIENCE_MS);
    connections_let_go(gate->leases, tpsp);
}

bool connections_share_alone(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    const struct config_cluster *cluster = &gate->config->cluster;
    unsigned number, limit;
    struct outcome ignored;

    if (gate->leases == NULL || !connections_lease(gate->leases, tpsp, &number, &limit))
        return true;
    unsigned share = (unsigned)((uint64_t)limit * cluster->share_ppm / 1000000);
    share = cluster->when_away == WHEN_AWAY_HOLD ? 0 : share > 0 ? share : 1;
    if (connections_is_within(gate->leases, tpsp, share))
        return true;
    connections_let_go(gate->leases, tpsp);
    return share > 0 && connections_take(gate->leases, tpsp, share, &ignored) == CONNECTIONS_TAKEN;
}

/* --- after a new server ------------------------------------------------------------------------------- */

static bool bring_all(const struct admission_gate *gate, struct connections_desk *desk, int64_t host,
                      int64_t epoch, int64_t deadline_ms)
{
    static _Thread_local unsigned numbers[CONNECTIONS_MAX];
    static _Thread_local struct cluster_reply reply;
    char word[CONNECTIONS_HOST_SIZE];

    for (size_t i = 0; i < gate->config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &gate->config->tpsps[i];
        size_t count = connections_confirmed(desk, tpsp, numbers);
        const struct cluster_connection connection = connection_of(gate, tpsp, host, word);
        if (count > 0 && cluster_bring_connections(gate->cluster, epoch, &connection, numbers, count,
                                                   deadline_ms, &reply) != CLUSTER_DONE)
            return false;
    }
    return true;
}

bool connections_share_bring(const struct admission_gate *gate, struct cluster_shared *shared, int64_t epoch,
                             int64_t deadline_ms)
{
    int64_t host = gate->host != 0 ? gate->host : atomic_load(&shared->host);

    if (host == 0) /* nobody here has ever had one */
        return true;
    if (gate->leases != NULL)
        return bring_all(gate, gate->leases, host, epoch, deadline_ms);
    struct connections_desk *desk = connections_open(gate->config);
    bool done = bring_all(gate, desk, host, epoch, deadline_ms);
    connections_close(desk);
    return done;
}

/* --- what was left behind ------------------------------------------------------------------------------ */

bool connections_share_sweep(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                             unsigned *count_r)
{
    static _Thread_local unsigned numbers[CONNECTIONS_MAX];
    static _Thread_local struct cluster_reply reply;
    char host[CONNECTIONS_HOST_SIZE];
    struct cluster_connection connection = connection_of(gate, tpsp, gate->host, host);
    struct outcome ignored;
    size_t count;

    if (admission_shared(gate, &ignored) == NULL ||
        cluster_connections(gate->cluster, &connection, clock_monotonic_ms() + CLUSTER_PATIENCE_MS, numbers,
                            &count, CONNECTIONS_MAX, &reply) != CLUSTER_DONE)
        return false;
    *count_r = reply.connections;
    for (size_t i = 0; i < count; i++)
        if (connections_take_number(gate->leases, tpsp, numbers[i])) {
            connections_share_end(gate, tpsp);
            *count_r -= *count_r > 0;
        }
    return true;
}

bool connections_share_count(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                             unsigned *count_r)
{
    static _Thread_local struct cluster_reply reply;
    char host[CONNECTIONS_HOST_SIZE];
    struct cluster_connection connection = connection_of(gate, tpsp, gate->host, host);
    struct outcome ignored;
    unsigned number;
    size_t count;

    if (gate->cluster == NULL || admission_shared(gate, &ignored) == NULL)
        return false;
    bool there = cluster_connections(gate->cluster, &connection, clock_monotonic_ms() + CLUSTER_PATIENCE_MS,
                                     &number, &count, 1, &reply) == CLUSTER_DONE;
    *count_r = reply.connections;
    return there;
}
