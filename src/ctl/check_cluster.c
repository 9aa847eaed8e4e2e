/* sendpostctl check: the servers of the cluster, each asked, and whether one of them takes our script. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/server.h"
#include "ctl/check.h"
#include "policy/admission.h"

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
            check_say(check, CHECK_FAILURE, "extend the access list of the user, see doc/cluster.md",
                      "%s: %.150s", commands[i][0], reply->str);
        cluster_reply_free(cluster, reply);
    }
}

static void look_script(struct check *check, struct cluster *cluster)
{
    struct admission_gate gate = {.config = check->config, .cluster = cluster};
    struct outcome error;

    if (!rate_table_open(&gate.table, check->config->state_dir, &rate_clock_system, &error)) {
        check_say(check, CHECK_FAILURE, "see state", "%s", error.text);
        return;
    }
    if (admission_tend(&gate))
        check_say(check, CHECK_OK, NULL, "limits are kept at %s, an answer takes %.1f ms",
                  cluster_server(cluster), (double)cluster_delay_us(cluster) / 1000);
    else if (*cluster_why_away(cluster) != '\0')
        check_say(check, CHECK_FAILURE,
                  "look at the server and at the access list of the user, see doc/cluster.md",
                  "limits cannot be kept: %s", cluster_why_away(cluster));
    rate_table_close(gate.table);
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
        check_say(check, CHECK_FAILURE, "start one of them, see doc/cluster.md",
                  "no server of the cluster can be used now; mail %s",
                  config->cluster.when_away == WHEN_AWAY_HOLD ? "is held (when-away: hold)"
                                                              : "goes out within this host's share");
    } else {
        struct outcome error;
        struct cluster *cluster = cluster_open(&config->cluster, resolver, tls, &error);
        if (cluster != NULL) {
            look_script(check, cluster);
            look_rights(check, cluster);
        }
        cluster_close(cluster);
    }
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
