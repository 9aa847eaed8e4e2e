/* sendpostctl check: the servers of the cluster, each asked, and whether one of them takes our script. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "cluster/server.h"
#include "ctl/check.h"
#include "ctl/limits.h"
#include "ctl/people.h"
#include "oauth/token_file.h"
#include "policy/connections_share.h"
#include "policy/suppression_share.h"

#define ANSWER_MS 3000

/* Whether all is well with a server that is not asked now is no matter, as long as one is. */
static bool look_server(struct check *check, const struct server_peer *peer,
                        const struct hiredis_library *library)
{
    struct server server;

    server_init(&server, library);
    bool fit = server_connect(&server, peer, clock_monotonic_ms() + ANSWER_MS);
    if (fit)
        check_say(check, CHECK_OK, NULL, "%s answers: %s, master%s", server.name, server.version,
                  peer->cluster->tls ? ", TLS verified" : "");
    else if (strstr(server.error, "is a replica") != NULL)
        check_say(check, CHECK_OK, NULL, "%s, and waits for its turn", server.error);
    else
        check_say(check, CHECK_WARNING, "look at the server, or take it out of cluster: servers", "%s",
                  server.error);
    server_close(&server);
    return fit;
}

/* Every command that is needed beside the script; an access list that lacks one is found here and not in the
 * night. */
static void look_rights(struct check *check, struct cluster *cluster)
{
    static const char *const commands[][6] = {
        {"HGET", ":suppression", "x"},
        {"HSCAN", ":suppression", "0"},
        {"XRANGE", ":suppression:changes", "+", "+"},
        {"XREVRANGE", ":suppression:changes", "+", "+"},
        {"HGETALL", ":hosts"},
    };

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *words[6];
        char key[96];
        int count = 0;
        while (count < 6 && commands[i][count] != NULL) {
            words[count] = commands[i][count];
            count++;
        }
        snprintf(key, sizeof key, "{%.60s}%s", check->config->cluster.name, commands[i][1]);
        words[1] = key;
        struct redisReply *reply = cluster_command(cluster, count, words, clock_monotonic_ms() + ANSWER_MS);
        if (reply != NULL && reply->type == REDIS_REPLY_ERROR)
            check_say(check, CHECK_FAILURE,
                      "extend the access list of the user, see " DOCDIR "/doc/cluster.md", "%s: %.150s",
                      commands[i][0], reply->str);
        cluster_reply_free(cluster, reply);
    }
}

/* What this host knows of a TPSP that all hosts go by. */
static void look_shared(struct check *check, const struct admission_gate *gate,
                        const struct config_tpsp *tpsp)
{
    struct breaker breaker = limits_breaker(gate->table, tpsp);
    unsigned connections;

    if (tpsp->max_connections > 0 && connections_share_count(gate, tpsp, &connections))
        check_say(check, CHECK_OK, NULL, "%s: %u of %u connections are in use by all hosts", tpsp->name,
                  connections, tpsp->max_connections);
    if (*breaker_whose(&breaker) == '\0')
        return;
    AUTO_FREE char *remedy = xasprintf("sendpostctl test %s; once it works again: sendpostctl rates reset %s",
                                       tpsp->name, tpsp->name);
    check_say(check, CHECK_WARNING, remedy, "%s is left alone by all hosts after %u failures in a row",
              tpsp->name, breaker.failures);
}

static void look_script(struct check *check, struct cluster *cluster)
{
    struct admission_gate gate = {.config = check->config, .cluster = cluster};
    struct outcome error;

    if (!rate_table_open(&gate.table, check->config->state_dir, &rate_clock_system, &error)) {
        check_say(check, CHECK_FAILURE, "see state", "%s", error.text);
        return;
    }
    if (admission_tend(&gate)) {
        check_say(check, CHECK_OK, NULL, "limits are kept at %s, an answer takes %.1f ms",
                  cluster_server(cluster), (double)cluster_delay_us(cluster) / 1000);
        for (size_t i = 0; i < check->config->tpsp_count; i++)
            look_shared(check, &gate, &check->config->tpsps[i]);
    } else if (*cluster_why_away(cluster) != '\0')
        check_say(check, CHECK_FAILURE,
                  "look at the server and at the access list of the user, see " DOCDIR "/doc/cluster.md",
                  "limits cannot be kept: %s", cluster_why_away(cluster));
    rate_table_close(gate.table);
}

/* Whether the provider has given out another token than the one of the configuration. */
static bool is_rotated(const struct config *config, const struct config_tpsp *tpsp)
{
    struct token_state state;

    token_file_read(config->state_dir, tpsp, &state);
    bool rotated = state.refresh_token != NULL && strcmp(state.refresh_token, tpsp->oauth.refresh_token) != 0;
    token_state_clear(&state);
    return rotated;
}

/* hosts: id and words of each host, in turns (agent/cluster_keeper.c). */
static void look_token(struct check *check, const struct config_tpsp *tpsp, const struct redisReply *hosts)
{
    char seed[TOKEN_SEED_SIZE], names[300] = "";
    size_t length = 0, count = 0;

    token_seed_fingerprint(&tpsp->oauth, seed);
    if (*seed == '\0' || !is_rotated(check->config, tpsp))
        return;
    AUTO_FREE char *word = xasprintf(" %s=%s", tpsp->name, seed);
    for (size_t i = 1; i < hosts->elements; i += 2) {
        const struct redisReply *value = hosts->element[i];
        char name[64];
        if (value->type != REDIS_REPLY_STRING || strstr(value->str, word) == NULL ||
            sscanf(value->str, "%*d %*d %*s %63s", name) != 1)
            continue;
        if (length < sizeof names - sizeof name - 2)
            length +=
                (size_t)snprintf(names + length, sizeof names - length, "%s%s", count > 0 ? ", " : "", name);
        count++;
    }
    if (count > 1)
        check_say(check, CHECK_FAILURE,
                  "give each host a login of its own: sendpostctl setup --oauth NAME on all but one of them",
                  "tpsp %s: hosts %s have the same refresh token, and the provider rotates it: what one of "
                  "them gets "
                  "makes that of the others useless",
                  tpsp->name, names);
}

static void look_tokens(struct check *check, struct cluster *cluster)
{
    char key[96];
    const char *const words[] = {"HGETALL", key};

    snprintf(key, sizeof key, "{%.60s}:hosts", check->config->cluster.name);
    struct redisReply *reply = cluster_command(cluster, 2, words, clock_monotonic_ms() + ANSWER_MS);
    for (size_t i = 0; reply != NULL && reply->type == REDIS_REPLY_ARRAY && i < check->config->tpsp_count;
         i++)
        look_token(check, &check->config->tpsps[i], reply);
    cluster_reply_free(cluster, reply);
}

/* How old this host's list is: the agent exchanges it. */
static void look_list(struct check *check)
{
    struct outcome error;
    struct store *store;
    char when[PEOPLE_TIME_SIZE];

    if (!store_open_to_read(&store, check->config->state_dir, clock_monotonic_ms() + ANSWER_MS, &error)) {
        store_close(store);
        return; /* see state */
    }
    int64_t ms = (int64_t)store_get_number(store, SUPPRESSION_SHARE_KEY);
    store_close(store);
    if (ms > 0 && clock_realtime_ms() - ms <= SUPPRESSION_SHARE_OLD_MS)
        check_say(check, CHECK_OK, NULL, "the suppression list is that of the other hosts");
    else
        check_say(check, CHECK_WARNING,
                  "start sendpost-agent, which exchanges it; if it runs, its log says why it cannot",
                  "the suppression list was %s%s",
                  ms > 0 ? "last that of the other hosts at " : "never that of the other hosts",
                  ms > 0 ? people_when(ms, when) : "");
}

static void look(struct check *check)
{
    const struct config *config = check->config;
    const char *why;
    const struct hiredis_library *library = hiredis_library_load(&why);
    size_t fit = 0;

    if (library == NULL) {
        check_say(check, CHECK_FAILURE, "install it", "%s", why);
        return;
    }
    struct dns_resolver *resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                             config->dns.servers.count, (int)config->dns.timeout_ms);
    struct tls_contexts *tls = tls_contexts_new(NULL);
    for (size_t i = 0; i < config->cluster.server_count; i++)
        fit += look_server(
            check,
            &(struct server_peer){.cluster = &config->cluster, .index = i, .resolver = resolver, .tls = tls},
            library);
    if (fit == 0) {
        check_say(check, CHECK_FAILURE, "start one of them, see " DOCDIR "/doc/cluster.md",
                  "no server of the cluster can be used now; mail %s",
                  config->cluster.when_away == WHEN_AWAY_HOLD ? "is held (when-away: hold)"
                                                              : "goes out within this host's share");
    } else {
        struct outcome error;
        struct cluster *cluster = cluster_open(&config->cluster, resolver, tls, &error);
        if (cluster != NULL) {
            look_script(check, cluster);
            look_rights(check, cluster);
            look_tokens(check, cluster);
        }
        cluster_close(cluster);
    }
    look_list(check);
    if (fit > 1)
        check_say(check, CHECK_FAILURE, "make all but one of them replicas, or the limits are kept twice",
                  "%zu servers of the cluster say that they are masters", fit);
    tls_contexts_free(tls);
    dns_close(resolver);
}

void check_cluster(struct check *check)
{
    check->subject = "cluster";
    if (check->config->cluster.server_count > 0)
        check_as_user(check, look);
}
