#include "agent/cluster_keeper.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "base/uuid_proof.h"
#include "base/xalloc.h"
#include "cluster/lease.h"
#include "oauth/token_file.h"
#include "policy/connections_share.h"
#include "policy/slow_down_answers.h"
#include "policy/suppression_share.h"
#include "policy/told.h"

#define ROUND_MS 400
/* of one round: then a wish to stop is seen, and one of the server to hear of limits */
#define SHARE_MS 500
#define HEARTBEAT_MS 5000  /* how often the others hear of this host */
#define FORGOTTEN_MS 60000 /* a host that was not heard of for so long is not counted */
#define CALL_MS 2000
#define COMPARED_AT_LEAST 100 /* messages of this host, to say how many the others send meanwhile */
#define COMPARED_MS 60000     /* or what there were in so long */
#define LEASE_MS 20000        /* who is not heard of for so long leads no more */

struct cluster_keeper {
    const struct config *config;
    struct board *board;
    struct store *store;
    struct dns_resolver *resolver;
    struct tls_contexts *tls;
    struct admission_gate gate;
    struct suppression_share share;
    char name[64]; /* of the host, for people */
    char fingerprint[UUID_FINGERPRINT_SIZE];
    int64_t heartbeat_ms;
    int64_t noted_ms;                         /* what the store was told of the list */
    struct board_host known[BOARD_HOSTS_MAX]; /* as they were at compared_ms */
    size_t known_count;
    int64_t own_taken, compared_ms, all_per_own_ppm;
    char told[BOARD_TEXT_SIZE]; /* the trouble that was logged last */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

/* --- what the hosts tell each other -------------------------------------------------------------------- */

/* "HEARD TAKEN FINGERPRINT NAME TPSP=SEED …": the seed tells refresh tokens apart (check_cluster.c); times by
 * the server's clock do not matter: each host's own will do for a minute. */
static void beat(struct cluster_keeper *keeper, const struct cluster_shared *shared)
{
    char key[96], value[4096];
    const char *const words[] = {"HSET", key, keeper->share.host, value};

    snprintf(key, sizeof key, "{%.60s}:hosts", keeper->config->cluster.name);
    int length = snprintf(value, sizeof value, "%" PRId64 " %" PRId64 " %s %s", clock_realtime_ms(),
                          atomic_load(&shared->taken), keeper->fingerprint, keeper->name);
    for (size_t i = 0; i < keeper->config->tpsp_count && length < (int)sizeof value - 100; i++) {
        char seed[TOKEN_SEED_SIZE];
        token_seed_fingerprint(&keeper->config->tpsps[i].oauth, seed);
        if (*seed != '\0')
            length += snprintf(value + length, sizeof value - (size_t)length, " %.64s=%s",
                               keeper->config->tpsps[i].name, seed);
    }
    cluster_reply_free(keeper->gate.cluster,
                       cluster_command(keeper->gate.cluster, 4, words, clock_monotonic_ms() + CALL_MS));
}

static void note_host(struct board_cluster *facts, const char *fingerprint, const char *id, const char *value)
{
    int64_t heard_ms, taken;
    char theirs[40], name[64];

    if (sscanf(value, "%" SCNd64 " %" SCNd64 " %39s %63s", &heard_ms, &taken, theirs, name) != 4 ||
        heard_ms < clock_realtime_ms() - FORGOTTEN_MS || facts->host_count == BOARD_HOSTS_MAX)
        return;
    struct board_host *host = &facts->hosts[facts->host_count++];
    snprintf(host->id, sizeof host->id, "%.39s", id);
    snprintf(host->name, sizeof host->name, "%.63s", name);
    host->heard_ms = heard_ms;
    host->taken = taken;
    host->other_key = strcmp(theirs, fingerprint) != 0;
}

static void hear(struct cluster_keeper *keeper, struct board_cluster *facts)
{
    char key[96];
    const char *const words[] = {"HGETALL", key};

    snprintf(key, sizeof key, "{%.60s}:hosts", keeper->config->cluster.name);
    struct redisReply *reply =
        cluster_command(keeper->gate.cluster, 2, words, clock_monotonic_ms() + CALL_MS);
    for (size_t i = 0; reply != NULL && reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2)
        if (reply->element[i]->type == REDIS_REPLY_STRING &&
            reply->element[i + 1]->type == REDIS_REPLY_STRING)
            note_host(facts, keeper->fingerprint, reply->element[i]->str, reply->element[i + 1]->str);
    cluster_reply_free(keeper->gate.cluster, reply);
}

/* How much all send for each message of this host: since the last time that it had sent enough to say so. */
static void compare(struct cluster_keeper *keeper, const struct board_cluster *facts, int64_t own)
{
    int64_t all = own - keeper->own_taken;

    if (all < COMPARED_AT_LEAST && keeper->compared_ms != 0 &&
        clock_monotonic_ms() < keeper->compared_ms + COMPARED_MS)
        return;
    for (size_t i = 0; i < facts->host_count; i++) {
        const struct board_host *host = &facts->hosts[i];
        for (size_t k = 0; k < keeper->known_count && strcmp(host->id, keeper->share.host) != 0; k++)
            if (strcmp(keeper->known[k].id, host->id) == 0 && host->taken > keeper->known[k].taken)
                all += host->taken - keeper->known[k].taken;
    }
    if (own > keeper->own_taken && keeper->compared_ms != 0)
        keeper->all_per_own_ppm = (int64_t)((__int128)all * 1000000 / (own - keeper->own_taken));
    memcpy(keeper->known, facts->hosts, facts->host_count * sizeof facts->hosts[0]);
    keeper->known_count = facts->host_count;
    keeper->own_taken = own;
    keeper->compared_ms = clock_monotonic_ms();
}

/* Which host synchronises with SendPost; those that could ask for it. */
static void lead(struct cluster_keeper *keeper, struct board_cluster *facts)
{
    const struct lease lease = {
        .what = "sendpost", .id = keeper->share.host, .name = keeper->name, .life_ms = LEASE_MS};

    if (keeper->config->sendpost.endpoint != NULL && keeper->config->sendpost.suppression)
        facts->leads_sync = lease_renew(keeper->gate.cluster, &keeper->config->cluster, &lease,
                                        clock_monotonic_ms() + CALL_MS, facts->sync_leader);
}

/* What was killed with a connection left its word at the server. */
static void sweep(struct cluster_keeper *keeper, struct board_cluster *facts)
{
    const struct config *config = keeper->config;

    facts->connection_count = 0;
    for (size_t i = 0; i < config->tpsp_count && facts->connection_count < BOARD_CONNECTIONS_MAX; i++) {
        struct board_connections *row = &facts->connections[facts->connection_count];
        if (config->tpsps[i].max_connections == 0 ||
            !connections_share_sweep(&keeper->gate, &config->tpsps[i], &row->in_use))
            continue;
        snprintf(row->tpsp, sizeof row->tpsp, "%.64s", config->tpsps[i].name);
        facts->connection_count++;
    }
}

/* --- one round -------------------------------------------------------------------------------------------
 */

static void note_trouble(struct cluster_keeper *keeper, const char *text)
{
    if (*text != '\0' && strcmp(keeper->told, text) != 0)
        log_line(LOG_WARNING, "%s", text);
    snprintf(keeper->told, sizeof keeper->told, "%.500s", text);
}

static void tell_board(struct cluster_keeper *keeper, const struct board_cluster *facts)
{
    board_lock(keeper->board);
    keeper->board->facts.cluster = *facts;
    board_unlock(keeper->board);
}

/* On record, too, for those who ask while no agent runs. */
static void note_complete(struct cluster_keeper *keeper, struct board_cluster *facts)
{
    struct outcome ignored;
    char text[24];

    facts->list_complete_ms = clock_realtime_ms();
    if (facts->list_complete_ms < keeper->noted_ms + SUPPRESSION_SHARE_NOTED_MS &&
        facts->list_complete_ms >= keeper->noted_ms)
        return;
    keeper->noted_ms = facts->list_complete_ms;
    snprintf(text, sizeof text, "%" PRId64, keeper->noted_ms);
    store_put(keeper->store, SUPPRESSION_SHARE_KEY, text, &ignored);
}

/* Whether there is work left that was not done for lack of time. */
static bool one_round(struct cluster_keeper *keeper, struct board_cluster *facts)
{
    struct outcome error = {.text = ""};
    bool complete = false, left = false;
    struct cluster_shared *shared = admission_shared(&keeper->gate, &error);

    if (shared == NULL) {
        note_trouble(keeper, error.text);
        return false;
    }
    bool there = admission_tend(&keeper->gate);
    facts->away_since_ms = 0;
    int64_t away_ms = atomic_load(&shared->away_ms);
    if (!there)
        facts->away_since_ms = clock_realtime_ms() - (away_ms > 0 ? clock_monotonic_ms() - away_ms : 0);
    snprintf(facts->why, sizeof facts->why, "%s", there ? "" : cluster_why_away(keeper->gate.cluster));
    facts->taken = atomic_load(&shared->taken);
    if (there) {
        snprintf(facts->server, sizeof facts->server, "%.119s", cluster_server(keeper->gate.cluster));
        snprintf(facts->version, sizeof facts->version, "%s", cluster_version(keeper->gate.cluster));
        facts->delay_us = cluster_delay_us(keeper->gate.cluster);
        bool ok = store_renew(keeper->store, &error) &&
                  suppression_share_round(&keeper->share, clock_monotonic_ms() + SHARE_MS, &complete, &error);
        note_trouble(keeper, ok ? "" : error.text);
        snprintf(facts->list_why, sizeof facts->list_why, "%.500s", ok ? "" : error.text);
        left = ok && !complete;
        sweep(keeper, facts);
        for (size_t i = 0; i < keeper->config->tpsp_count; i++)
            told_exchange(&keeper->gate, &keeper->config->tpsps[i]);
        if (complete)
            note_complete(keeper, facts);
        if (clock_monotonic_ms() >= keeper->heartbeat_ms + HEARTBEAT_MS) {
            keeper->heartbeat_ms = clock_monotonic_ms();
            if ((shared = admission_shared(&keeper->gate, &error)) != NULL)
                beat(keeper, shared);
            facts->host_count = 0;
            hear(keeper, facts);
            compare(keeper, facts, facts->taken);
            if (keeper->all_per_own_ppm > 0)
                slow_down_note_hosts(keeper->gate.table, keeper->config->cluster.name,
                                     keeper->all_per_own_ppm);
            lead(keeper, facts);
        }
    }
    /* until then no other host can have got it */
    if (!there && clock_monotonic_ms() >= keeper->heartbeat_ms + LEASE_MS) {
        facts->leads_sync = false;
        facts->sync_leader[0] = '\0';
    }
    facts->changes_sent = keeper->share.sent;
    facts->changes_taken = keeper->share.taken;
    tell_board(keeper, facts);
    return left;
}

/* False when it is to stop. */
static bool wait_a_while(struct cluster_keeper *keeper, long ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stop && pthread_cond_timedwait(&keeper->wake, &keeper->lock, &until) == 0)
        ;
    bool stop = keeper->stop;
    pthread_mutex_unlock(&keeper->lock);
    return !stop;
}

static void *run(void *context)
{
    struct cluster_keeper *keeper = context;
    struct board_cluster facts = {.configured = true,
                                  .list_complete_ms =
                                      (int64_t)store_get_number(keeper->store, SUPPRESSION_SHARE_KEY)};
    bool left;

    do
        left = one_round(keeper, &facts);
    while (wait_a_while(keeper, left ? 1 : ROUND_MS));
    return NULL;
}

/* --- beginning and end
 * --------------------------------------------------------------------------------------- */

/* One word for ever, made once: two hosts with one host name stay two. */
static bool read_host_id(struct cluster_keeper *keeper, struct outcome *error_r)
{
    keeper->gate.host = connections_share_host(keeper->store, error_r);
    if (keeper->gate.host == 0)
        return false;
    char *id = store_get(keeper->store, CONNECTIONS_HOST_KEY);
    snprintf(keeper->share.host, sizeof keeper->share.host, "%.39s", id != NULL ? id : "");
    free(id);
    return true;
}

static bool open_all(struct cluster_keeper *keeper, struct outcome *error_r)
{
    const struct config *config = keeper->config;

    if (!store_open(&keeper->store, config->state_dir, error_r) || !read_host_id(keeper, error_r) ||
        !rate_table_open(&keeper->gate.table, config->state_dir, &rate_clock_system, error_r))
        return false;
    keeper->resolver = dns_open((const char *const *)config->dns.servers.items, config->dns.servers.count,
                                (int)config->dns.timeout_ms);
    keeper->tls = tls_contexts_new(config->state_dir);
    keeper->gate.config = config;
    keeper->gate.leases = connections_open(config);
    uuid_keys_fingerprint(&config->uuid_keys, keeper->fingerprint);
    keeper->gate.cluster = cluster_open(&config->cluster, keeper->resolver, keeper->tls, error_r);
    keeper->share.cluster = keeper->gate.cluster;
    keeper->share.config = &config->cluster;
    keeper->share.store = keeper->store;
    if (gethostname(keeper->name, sizeof keeper->name - 1) != 0 || *keeper->name == '\0')
        snprintf(keeper->name, sizeof keeper->name, "unnamed");
    return keeper->gate.cluster != NULL;
}

static void close_all(struct cluster_keeper *keeper)
{
    suppression_share_end(&keeper->share);
    cluster_close(keeper->gate.cluster);
    connections_close(keeper->gate.leases);
    tls_contexts_free(keeper->tls);
    dns_close(keeper->resolver);
    rate_table_close(keeper->gate.table);
    store_close(keeper->store);
    free(keeper);
}

struct cluster_keeper *cluster_keeper_start(const struct config *config, struct board *board,
                                            struct outcome *error_r)
{
    struct cluster_keeper *keeper = xcalloc(1, sizeof *keeper);
    pthread_condattr_t attributes;

    keeper->config = config;
    keeper->board = board;
    keeper->heartbeat_ms = -HEARTBEAT_MS;
    if (!open_all(keeper, error_r)) {
        close_all(keeper);
        return NULL;
    }
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int result = pthread_create(&keeper->thread, NULL, run, keeper);
    if (result != 0) {
        outcome_local(error_r, "4.3.0", "cannot start a thread: %s", strerror(result));
        close_all(keeper);
        return NULL;
    }
    return keeper;
}

void cluster_keeper_stop(struct cluster_keeper *keeper)
{
    if (keeper == NULL)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stop = true;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    pthread_cond_destroy(&keeper->wake);
    pthread_mutex_destroy(&keeper->lock);
    close_all(keeper);
}
