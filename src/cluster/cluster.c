#include "cluster/cluster.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "cluster/answer.h"
#include "cluster/circuit.h"
#include "cluster/question.h"
#include "cluster/script.h"
#include "cluster/server.h"

struct cluster {
    const struct config_cluster *config;
    struct cluster_shared *shared;
    struct server_peer peer;
    struct server server;
    size_t current; /* the server that was asked last */
    char sha1[41];  /* of the script */
    int64_t delay_us;
    char why[SERVER_ERROR_SIZE + 80];
};

struct cluster *cluster_open(const struct config_cluster *config, struct dns_resolver *resolver,
                             struct tls_contexts *tls, struct outcome *error_r)
{
    const char *why;
    const struct hiredis_library *library = hiredis_library_load(&why);

    if (library == NULL) {
        outcome_local(error_r, "4.3.5", "%s", why);
        return NULL;
    }
    struct cluster *cluster = xcalloc(1, sizeof *cluster);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    cluster->config = config;
    cluster->peer = (struct server_peer){.cluster = config, .resolver = resolver, .tls = tls};
    server_init(&cluster->server, library);
    if (EVP_Digest(cluster_limits_script, strlen(cluster_limits_script), digest, &length, EVP_sha1(), NULL) !=
        1)
        length = 0; /* the server then does not know the script, and is sent it each time */
    for (unsigned i = 0; i < length && i < 20; i++)
        snprintf(&cluster->sha1[2 * i], 3, "%02x", digest[i]);
    return cluster;
}

void cluster_close(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    server_close(&cluster->server);
    free(cluster);
}

void cluster_attach(struct cluster *cluster, struct cluster_shared *shared)
{
    cluster->shared = shared;
}

const char *cluster_why_away(const struct cluster *cluster)
{
    return cluster->why;
}

const char *cluster_server(const struct cluster *cluster)
{
    return server_is_connected(&cluster->server) ? cluster->server.name : "";
}

const char *cluster_version(const struct cluster *cluster)
{
    return cluster->server.version;
}

int64_t cluster_delay_us(const struct cluster *cluster)
{
    return cluster->delay_us;
}

/* --- asking --------------------------------------------------------------------------------------------- */

static enum cluster_answer away(struct cluster *cluster, const char *why)
{
    if (why != cluster->why)
        snprintf(cluster->why, sizeof cluster->why, "%s", why);
    return CLUSTER_AWAY;
}

/* The first server of the list that is fit, from the one that was asked last on. */
static bool connect_any(struct cluster *cluster, int64_t deadline_ms)
{
    size_t count = cluster->config->server_count;

    for (size_t i = 0; i < count; i++) {
        size_t index = (cluster->current + i) % count;
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        cluster->peer.index = index;
        if (server_connect(&cluster->server, &cluster->peer,
                           deadline_ms - left_ms + left_ms / (int64_t)(count - i))) {
            cluster->current = index;
            return true;
        }
        away(cluster, cluster->server.error);
    }
    return false;
}

static bool is_error(const struct redisReply *reply, const char *code)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, code, strlen(code)) == 0;
}

/* By hash; where the server does not know the hash (it was started anew) with the whole script. */
static struct redisReply *evaluate(struct cluster *cluster, struct question_words *words, int64_t deadline_ms)
{
    struct redisReply *reply =
        server_command(&cluster->server, words->count, words->words, NULL, deadline_ms);

    if (reply == NULL || !is_error(reply, "NOSCRIPT"))
        return reply;
    server_reply_free(&cluster->server, reply);
    words->words[0] = "EVAL";
    words->words[1] = cluster_limits_script;
    return server_command(&cluster->server, words->count, words->words, NULL, deadline_ms);
}

static void note_clock(struct cluster_shared *shared, int64_t server_us, int64_t sent_us, int64_t now_us)
{
    /* between the two it was that time there */
    atomic_store(&shared->clock_us, server_us - (sent_us + now_us) / 2);
    atomic_store(&shared->measured_ms, now_us / 1000);
}

static enum cluster_answer converse(struct cluster *cluster, const struct question *question,
                                    int64_t deadline_ms, struct cluster_reply *reply_r)
{
    static _Thread_local struct question_words words; /* much for a stack */
    bool kept = server_is_connected(&cluster->server), again = false;

    for (;;) {
        if (!kept && !connect_any(cluster, deadline_ms))
            return CLUSTER_AWAY;
        question_compose(&words, question, cluster->config, cluster->shared, cluster->sha1,
                         cluster->server.run_id, again);
        int64_t sent_us = clock_monotonic_us();
        struct redisReply *reply = evaluate(cluster, &words, deadline_ms);
        int64_t now_us = clock_monotonic_us();
        if (reply == NULL && kept && clock_monotonic_ms() < deadline_ms) {
            /* the server may have ended it long ago; a slot that it gave nevertheless is lost, no more */
            kept = false;
            continue;
        }
        if (reply == NULL)
            return away(cluster, cluster->server.error);
        if (!again && answer_doubts_clock(reply)) {
            server_reply_free(&cluster->server, reply);
            kept = again = true;
            continue;
        }
        cluster->delay_us = now_us - sent_us;
        enum cluster_answer answer = answer_read(reply, question, reply_r);
        if (answer == CLUSTER_AWAY) {
            /* a replica now, full (OOM), busy with another's script, not allowed (NOPERM) …: another server
             * may do better */
            snprintf(cluster->why, sizeof cluster->why, "%.200s: %.100s", cluster->server.name,
                     reply->type == REDIS_REPLY_ERROR ? reply->str : "an unexpected answer");
            server_close(&cluster->server);
            cluster->current = (cluster->current + 1) % cluster->config->server_count;
        } else {
            note_clock(cluster->shared, reply_r->now_us, sent_us, now_us);
        }
        server_reply_free(&cluster->server, reply);
        return answer;
    }
}

static enum cluster_answer ask(struct cluster *cluster, const struct question *question, int64_t deadline_ms,
                               struct cluster_reply *reply_r)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t latest_ms = now_ms + CLUSTER_PATIENCE_MS;
    int64_t since_ms = atomic_load(&cluster->shared->away_ms), seen;

    if (circuit_ask(cluster->shared, now_ms, &seen) == CIRCUIT_OPEN) {
        if (*cluster->why == '\0')
            away(cluster, "its servers do not answer");
        return CLUSTER_AWAY;
    }
    enum cluster_answer answer =
        converse(cluster, question, deadline_ms < latest_ms ? deadline_ms : latest_ms, reply_r);
    if (answer == CLUSTER_AWAY) {
        circuit_failed(cluster->shared, seen, clock_monotonic_ms());
        if (since_ms == 0)
            log_line(LOG_WARNING, "cluster %s is away: %s", cluster->config->name, cluster->why);
        return answer;
    }
    if (since_ms != 0)
        log_line(LOG_NOTICE, "cluster %s is back after %" PRId64 " ms, at %s", cluster->config->name,
                 clock_monotonic_ms() - since_ms, cluster->server.name);
    circuit_works(cluster->shared);
    return answer;
}

/* --- the operations ---------------------------------------------------------------------------------------
 */

enum cluster_answer cluster_take(struct cluster *cluster, const struct cluster_limit *limits, size_t count,
                                 const struct cluster_connection *connection, const struct cluster_told *told,
                                 int64_t deadline_ms, struct cluster_reply *reply_r)
{
    struct question question = {
        .operation = "take", .limits = limits, .count = count, .connection = connection, .told = told};
    enum cluster_answer answer = ask(cluster, &question, deadline_ms, reply_r);

    if (answer == CLUSTER_GRANTED)
        atomic_fetch_add(&cluster->shared->taken, 1);
    return answer;
}

enum cluster_answer cluster_tell(struct cluster *cluster, const struct cluster_told *told, const char *text,
                                 int64_t deadline_ms, struct cluster_reply *reply_r)
{
    struct question question = {.operation = text != NULL ? "tell" : "hear", .told = told, .text = text};

    return ask(cluster, &question, deadline_ms, reply_r);
}

enum cluster_answer cluster_give_back(struct cluster *cluster, const struct cluster_limit *limits,
                                      size_t count, const struct cluster_slot *slots, int64_t deadline_ms)
{
    struct question question = {.operation = "give-back", .limits = limits, .count = count, .slots = slots};
    struct cluster_reply reply;

    return ask(cluster, &question, deadline_ms, &reply);
}

enum cluster_answer cluster_bring(struct cluster *cluster, int64_t epoch, const struct cluster_limit *limits,
                                  size_t count, const int64_t (*left_us)[CLUSTER_LANES_MAX],
                                  int64_t deadline_ms, struct cluster_reply *reply_r)
{
    struct question question = {
        .operation = "bring", .epoch = epoch, .limits = limits, .count = count, .left_us = left_us};

    return ask(cluster, &question, deadline_ms, reply_r);
}

void cluster_bringing(struct cluster *cluster, int64_t epoch)
{
    atomic_store(&cluster->shared->epoch, -epoch);
}

bool cluster_epoch_is(const struct cluster *cluster, int64_t epoch)
{
    return atomic_load(&cluster->shared->epoch) == epoch;
}

void cluster_brought(struct cluster *cluster, int64_t epoch)
{
    int64_t bringing = -epoch;

    atomic_compare_exchange_strong(&cluster->shared->epoch, &bringing, epoch);
}

enum cluster_answer cluster_peek(struct cluster *cluster, const struct cluster_limit *limits, size_t count,
                                 int64_t deadline_ms, struct cluster_reply *reply_r)
{
    struct question question = {.operation = "peek", .limits = limits, .count = count};

    return ask(cluster, &question, deadline_ms, reply_r);
}

enum cluster_answer cluster_reset(struct cluster *cluster, const struct cluster_limit *limits, size_t count,
                                  const char *tpsp, int64_t deadline_ms)
{
    const struct cluster_connection all = {.tpsp = tpsp, .host = ""};
    struct question question = {
        .operation = "reset", .limits = limits, .count = count, .connection = tpsp != NULL ? &all : NULL};
    struct cluster_reply reply;

    return ask(cluster, &question, deadline_ms, &reply);
}

enum cluster_answer cluster_disconnect(struct cluster *cluster, const struct cluster_connection *connection,
                                       int64_t deadline_ms)
{
    struct question question = {.operation = "disconnect", .connection = connection};
    struct cluster_reply reply;

    return ask(cluster, &question, deadline_ms, &reply);
}

enum cluster_answer cluster_connections(struct cluster *cluster, const struct cluster_connection *connection,
                                        int64_t deadline_ms, unsigned *numbers_r, size_t *count_r,
                                        size_t room, struct cluster_reply *reply_r)
{
    struct question question = {.operation = "connections", .connection = connection};

    *count_r = 0;
    reply_r->numbers = numbers_r;
    reply_r->number_room = room;
    enum cluster_answer answer = ask(cluster, &question, deadline_ms, reply_r);
    if (answer == CLUSTER_DONE)
        *count_r = reply_r->number_count;
    return answer;
}

enum cluster_answer cluster_bring_connections(struct cluster *cluster, int64_t epoch,
                                              const struct cluster_connection *connection,
                                              const unsigned *numbers, size_t count, int64_t deadline_ms,
                                              struct cluster_reply *reply_r)
{
    struct question question = {.operation = "connected",
                                .epoch = epoch,
                                .connection = connection,
                                .numbers = numbers,
                                .number_count = count};

    return ask(cluster, &question, deadline_ms, reply_r);
}

/* --- everything else -------------------------------------------------------------------------------------
 */

struct redisReply *cluster_command(struct cluster *cluster, int count, const char *const *words,
                                   int64_t deadline_ms)
{
    bool kept = server_is_connected(&cluster->server);

    for (;;) {
        if (!kept && !connect_any(cluster, deadline_ms))
            return NULL;
        struct redisReply *reply = server_command(&cluster->server, count, words, NULL, deadline_ms);
        if (reply != NULL && !is_error(reply, "READONLY") && !is_error(reply, "LOADING"))
            return reply;
        if (reply != NULL) { /* it is a replica now */
            snprintf(cluster->why, sizeof cluster->why, "%.200s: %.100s", cluster->server.name, reply->str);
            server_reply_free(&cluster->server, reply);
            server_close(&cluster->server);
            cluster->current = (cluster->current + 1) % cluster->config->server_count;
        } else {
            away(cluster, cluster->server.error);
        }
        if (!kept || clock_monotonic_ms() >= deadline_ms)
            return NULL;
        kept = false;
    }
}

void cluster_reply_free(const struct cluster *cluster, struct redisReply *reply)
{
    server_reply_free(&cluster->server, reply);
}

const char *cluster_run_id(struct cluster *cluster, int64_t deadline_ms)
{
    if (!server_is_connected(&cluster->server) && !connect_any(cluster, deadline_ms))
        return NULL;
    return cluster->server.run_id;
}
