#include "ctl/status_shared.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/oauth_words.h"
#include "ctl/people.h"
#include "policy/suppression.h"
#include "policy/suppression_share.h"
#include "sendpost/sync_store.h"

void status_line(const char *what, bool ok, const char *text)
{
    AUTO_FREE char *clean = ctl_text(text);

    printf("%s%-9s%s %s\n", ctl_colour(ok ? CTL_BOLD : CTL_RED), what, ctl_colour(CTL_PLAIN), clean);
}

static void print_tokens(const struct config *config)
{
    for (size_t i = 0; i < config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &config->tpsps[i];
        bool ok;
        if (tpsp->oauth.token_endpoint == NULL)
            continue;
        AUTO_FREE char *words = oauth_words(config, tpsp, &ok);
        AUTO_FREE char *line = xasprintf("%s: %s", tpsp->name, words);
        status_line("OAuth", ok, line);
    }
}

char *status_cluster_words(const struct config *config, struct json_object *agent, bool *ok_r)
{
    const struct config_cluster *settings = &config->cluster;
    struct json_object *cluster = NULL, *hosts = NULL, *delay = NULL;
    char when[PEOPLE_TIME_SIZE];

    *ok_r = false;
    if (agent == NULL || !json_object_object_get_ex(agent, "cluster", &cluster))
        return NULL;
    const char *away = agent_health_text(cluster, "away_since");
    size_t count = json_object_object_get_ex(cluster, "hosts", &hosts) ? json_object_array_length(hosts) : 0;
    json_object_object_get_ex(cluster, "delay_us", &delay);
    *ok_r = *away == '\0';
    if (!*ok_r)
        return xasprintf("%s away since %s: %s; mail %s", settings->name, people_when_of(away, when),
                         agent_health_text(cluster, "why"),
                         settings->when_away == WHEN_AWAY_HOLD ? "is held"
                                                               : "goes out within this host's share");
    return xasprintf("%s at %s (%s), %zu hosts, an answer takes %.1f ms", settings->name,
                     agent_health_text(cluster, "server"), agent_health_text(cluster, "version"), count,
                     (double)json_object_get_int64(delay) / 1000);
}

/* As the agent sees it; it alone knows the other hosts. */
static void print_cluster(const struct config *config, struct store *store, struct json_object *agent)
{
    struct json_object *cluster = NULL;
    char when[PEOPLE_TIME_SIZE];
    bool ok;

    if (config->cluster.server_count == 0)
        return;
    AUTO_FREE char *words = status_cluster_words(config, agent, &ok);
    if (words == NULL) {
        int64_t list_ms = (int64_t)store_get_number(store, SUPPRESSION_SHARE_KEY);
        AUTO_FREE char *unknown =
            xasprintf("not known: the agent, which looks after it, does not run; suppression list %s%s",
                      list_ms > 0 ? "the others' at " : "never yet the others'",
                      list_ms > 0 ? people_when(list_ms, when) : "");
        status_line("Cluster", false, unknown);
        return;
    }
    json_object_object_get_ex(agent, "cluster", &cluster);
    AUTO_FREE char *text =
        !ok ? xstrdup(words)
            : xasprintf("%s, suppression list the others' at %s", words,
                        people_when_of(agent_health_text(cluster, "suppression_complete_at"), when));
    status_line("Cluster", ok, text);
}

/* In a cluster one host does it for all. NULL: it is this one, or nobody knows. The caller frees. */
static char *others_sync(struct json_object *sync)
{
    struct json_object *leads = NULL;
    const char *leader = agent_health_text(sync, "leader");

    if (!json_object_object_get_ex(sync, "leads", &leads) || json_object_get_boolean(leads) ||
        *leader == '\0')
        return NULL;
    return xasprintf("host %s of the cluster keeps the lists the same", leader);
}

/* What the store knows, and the trouble that only the agent does. */
static void print_sync(const struct config *config, struct store *store, struct json_object *agent)
{
    int64_t last_ms = (int64_t)store_get_number(store, SYNC_LAST),
            gone = (int64_t)store_get_number(store, SYNC_GONE);
    char since[PEOPLE_TIME_SIZE];
    struct json_object *sync = NULL;

    if (config->sendpost.endpoint == NULL)
        return;
    json_object_object_get_ex(agent, "sync", &sync);
    const char *trouble = agent_health_text(sync, "error");
    char *when = others_sync(sync);
    bool elsewhere = when != NULL;
    if (when == NULL)
        when = last_ms > 0 ? xasprintf("lists the same at %s", people_when(last_ms, since))
                           : xstrdup("lists were never the same yet");
    AUTO_FREE char *waits =
        gone > 0 && !elsewhere
            ? xasprintf(", %" PRId64 " suppressed addresses are gone there: sendpostctl sync --confirm", gone)
            : xstrdup("");
    AUTO_FREE char *text = xasprintf("%s%s%s%s", when, waits, *trouble != '\0' ? "; " : "", trouble);
    status_line("SendPost", (elsewhere || (last_ms > 0 && gone == 0)) && *trouble == '\0', text);
    free(when);
}

static void print_complaints(struct store *store)
{
    uint64_t count = store_get_number(store, SUPPRESSION_COMPLAINTS_KEY);
    AUTO_FREE char *text =
        xasprintf("%" PRIu64 " recipients have called a message spam, and are suppressed", count);

    if (count > 0)
        status_line("Complaints", true, text);
}

void status_shared_print(const struct config *config, struct store *store, struct json_object *agent)
{
    print_tokens(config);
    print_complaints(store);
    print_sync(config, store, agent);
    print_cluster(config, store, agent);
}

void status_shared_json(const struct config *config, struct store *store, struct json_object *object)
{
    json_add_number(object, "complaints", (int64_t)store_get_number(store, SUPPRESSION_COMPLAINTS_KEY));
    if (config->sendpost.endpoint == NULL)
        return;
    struct json_object *sync = json_object_new_object();
    json_add_time(sync, "last_at", (int64_t)store_get_number(store, SYNC_LAST));
    json_add_number(sync, "unconfirmed", (int64_t)store_get_number(store, SYNC_GONE));
    json_object_object_add(object, "sync", sync);
}
