#include "agent/health.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/redact.h"
#include "base/xalloc.h"
#include "event/event_clock.h"
#include "policy/suspension.h"

#define STALE_MS (10 * 60 * 1000LL) /* a log that has waited so long to be read is trouble */

/* Anybody who reaches the port may read it, and the words may be a remote end's: addresses are replaced.
 * NULL: null. */
static void add_text(struct json_object *object, const char *key, const char *text)
{
    AUTO_FREE char *clean = text != NULL ? redact_text(text, strlen(text)) : NULL;

    json_add_text(object, key, clean);
}

char *health_log_trouble(const struct board_facts *facts)
{
    const struct ingest_status *ingest = &facts->ingest;

    if (facts->log_error[0] != '\0')
        return xstrdup(facts->log_error);
    if (facts->log_missing)
        return xasprintf("%s is not there: name Postfix's log as log-path (postconf maillog_file), or "
                         "log-path: journal",
                         facts->log_path);
    if (ingest->elsewhere[0] != '\0')
        return xasprintf("Postfix logs to %s (postconf maillog_file), and not to %s: correct log-path",
                         ingest->elsewhere, facts->log_path);
    if (ingest->unread > 0)
        return xasprintf(
            "lines of Postfix are not understood, %llu so far and none that is: \"%s\"; let the "
            "syslog daemon write its traditional or the ISO format, or set log-path: journal, and "
            "send us such a line",
            (unsigned long long)ingest->unread, ingest->unread_line);
    if (facts->log_stalled)
        return xstrdup("the log does not grow although Postfix works: check log-path, and that syslog or "
                       "journald gets Postfix's messages");
    if (board_lag_seconds(facts) * 1000 > STALE_MS && board_unread(facts) > 0)
        return xstrdup("the log is read slower than it grows");
    return NULL;
}

char *health_clock_trouble(const struct board_facts *facts)
{
    int64_t apart_s = facts->clock_apart_s;

    if (apart_s == 0)
        return NULL;
    return xasprintf(EVENT_CLOCK_REMEDY, (long long)(apart_s < 0 ? -apart_s : apart_s),
                     apart_s < 0 ? "behind" : "ahead of");
}

static struct json_object *log_object(const struct board_facts *facts)
{
    struct json_object *log = json_object_new_object(), *lag = json_object_new_object();

    json_object_object_add(log, "path", json_object_new_string(facts->log_path));
    json_object_object_add(log, "position", json_object_new_int64(facts->ingest.offset));
    json_object_object_add(lag, "bytes", json_object_new_int64(board_unread(facts)));
    json_add_decimal(lag, "seconds", board_lag_seconds(facts));
    json_object_object_add(log, "lag", lag);
    json_add_time(log, "last_line_at", facts->ingest.last_line_ms);
    AUTO_FREE char *wrong = health_log_trouble(facts);
    add_text(log, "error", wrong);
    return log;
}

static struct json_object *held_list(const struct board_facts *facts)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < facts->held_count; i++) {
        struct json_object *held = json_object_new_object();
        json_object_object_add(held, "tpsp", json_object_new_string(facts->held[i].tpsp));
        json_add_time(held, "since", facts->held[i].since_ms);
        json_object_object_add(held, "messages", json_object_new_int64(facts->held[i].messages));
        add_text(held, "text", facts->held[i].text);
        json_object_array_add(list, held);
    }
    return list;
}

static struct json_object *cluster_object(const struct board_cluster *cluster)
{
    struct json_object *object = json_object_new_object(), *hosts = json_object_new_array();

    json_add_text(object, "server", cluster->server);
    json_add_text(object, "version", cluster->version);
    json_object_object_add(object, "delay_us", json_object_new_int64(cluster->delay_us));
    json_add_time(object, "away_since", cluster->away_since_ms);
    add_text(object, "why", cluster->why);
    json_object_object_add(object, "granted", json_object_new_int64(cluster->taken));
    json_add_time(object, "suppression_complete_at", cluster->list_complete_ms);
    for (size_t i = 0; i < cluster->host_count; i++) {
        struct json_object *host = json_object_new_object();
        json_object_object_add(host, "name", json_object_new_string(cluster->hosts[i].name));
        json_add_time(host, "heard_at", cluster->hosts[i].heard_ms);
        json_object_object_add(host, "granted", json_object_new_int64(cluster->hosts[i].taken));
        json_object_object_add(host, "same_uuid_key", json_object_new_boolean(!cluster->hosts[i].other_key));
        json_object_array_add(hosts, host);
    }
    json_object_object_add(object, "hosts", hosts);
    struct json_object *connections = json_object_new_object();
    for (size_t i = 0; i < cluster->connection_count; i++)
        json_object_object_add(connections, cluster->connections[i].tpsp,
                               json_object_new_int64(cluster->connections[i].in_use));
    json_object_object_add(object, "connections", connections);
    return object;
}

const char *health_cluster_trouble(const struct board_cluster *cluster)
{
    if (cluster->away_since_ms > 0)
        return cluster->why;
    if (*cluster->list_why != '\0')
        return cluster->list_why;
    for (size_t i = 0; i < cluster->host_count; i++)
        if (cluster->hosts[i].other_key)
            return "the hosts of the cluster have different UUID keys, so that bounces are not believed: "
                   "copy "
                   "the file of uuid-key-file from one host to all";
    return NULL;
}

static struct json_object *token_list(const struct board_facts *facts)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < facts->token_count; i++) {
        struct json_object *token = json_object_new_object();
        json_object_object_add(token, "tpsp", json_object_new_string(facts->tokens[i].tpsp));
        json_add_time(token, "expires", facts->tokens[i].expires_ms);
        json_add_time(token, "login_needed", facts->tokens[i].refresh_expires_ms);
        json_add_text(token, "error", facts->tokens[i].error);
        json_object_array_add(list, token);
    }
    return list;
}

static struct json_object *sync_object(const struct board_facts *facts)
{
    struct json_object *object = json_object_new_object();

    json_add_time(object, "last_at", facts->sync_last_ms);
    if (facts->cluster.configured)
        json_add_text(object, "leader", facts->cluster.sync_leader);
    json_object_object_add(object, "leads",
                           json_object_new_boolean(!facts->cluster.configured || facts->cluster.leads_sync));
    json_object_object_add(object, "unconfirmed", json_object_new_int64(facts->sync_gone));
    add_text(object, "error", facts->sync_error);
    return object;
}

/* The first thing that is wrong, with its remedy; NULL: nothing. The caller frees. */
static char *trouble(const struct board_facts *facts)
{
    const char *text = health_cluster_trouble(&facts->cluster);

    if (text == NULL && facts->corrupt_stores > 0)
        text = BOARD_STORE_REMEDY;
    if (text == NULL && facts->ingest.transport[0] != '\0')
        text = facts->ingest.transport;
    if (text == NULL && facts->held_count > 0)
        text = facts->held[0].text;
    for (size_t i = 0; text == NULL && i < facts->token_count; i++)
        if (facts->tokens[i].error[0] != '\0')
            text = facts->tokens[i].error;
    if (text == NULL && facts->sync_error[0] != '\0')
        text = facts->sync_error;
    if (text == NULL && facts->sync_gone > 0)
        text = "many suppressed addresses are gone at SendPost; sendpostctl sync --confirm removes them "
               "here, too";
    char *log = text != NULL ? NULL : health_log_trouble(facts);
    if (log != NULL)
        return log;
    if (text == NULL && facts->report_error[0] != '\0')
        text = facts->report_error;
    return text != NULL ? xstrdup(text) : health_clock_trouble(facts);
}

static void add_suspended(void *context, const struct suspension_scope *scope,
                          const struct suspension *suspension)
{
    struct json_object *object = json_object_new_object();

    add_text(object, "tpsp", scope->tpsp);
    add_text(object, "provider", scope->provider);
    add_text(object, "pool", scope->pool);
    json_add_time(object, "since", suspension->began_ms);
    json_add_time(object, "until", suspension->until_ms == SUSPENSION_OPEN ? 0 : suspension->until_ms);
    add_text(object, "reason", suspension->reason);
    json_object_array_add(context, object);
}

/* By hand, and hence no trouble. */
static struct json_object *suspended_list(const struct config *config)
{
    struct json_object *list = json_object_new_array();
    struct rate_table *table;
    struct outcome ignored;

    if (!rate_table_open(&table, config->state_dir, &rate_clock_system, &ignored))
        return list;
    suspension_each(config, table, clock_realtime_ms(), add_suspended, list);
    rate_table_close(table);
    return list;
}

/* What is no trouble yet, and may become some. */
static struct json_object *warnings(const struct board_facts *facts, const struct config *config,
                                    bool suspended)
{
    struct json_object *list = json_object_new_array();

    if (suspended)
        json_object_array_add(list, json_object_new_string("suspended by hand: sendpostctl suspend lists "
                                                           "it, sendpostctl resume ends it"));
    if (config->uuid_keys.count == 0)
        json_object_array_add(list, json_object_new_string(BOARD_KEY_REMEDY));
    if (facts->ingest.counts.untrusted > 0)
        json_object_array_add(list, json_object_new_string(BOARD_TRUST_REMEDY));
    return list;
}

char *health_json(const struct board_facts *facts, const struct config *config, bool *healthy_r)
{
    const struct track_counts *counts = &facts->ingest.counts;
    struct json_object *object = json_object_new_object(), *suspended = suspended_list(config);
    AUTO_FREE char *wrong = trouble(facts);

    *healthy_r = wrong == NULL;
    json_object_object_add(object, "status", json_object_new_string(*healthy_r ? "ok" : "trouble"));
    json_object_object_add(object, "version", json_object_new_string(PACKAGE_VERSION));
    json_object_object_add(object, "uptime_seconds",
                           json_object_new_int64((clock_realtime_ms() - facts->started_ms) / 1000));
    json_object_object_add(object, "log", log_object(facts));
    json_add_time(object, "last_report_at", facts->last_report_ms);
    json_object_object_add(object, "pending_events", json_object_new_int64(facts->pending));
    json_object_object_add(object, "rejected_events", json_object_new_int64(facts->rejected));
    json_object_object_add(object, "held", held_list(facts));
    json_object_object_add(object, "suspended", suspended);
    if (facts->token_count > 0)
        json_object_object_add(object, "oauth", token_list(facts));
    if (config->sendpost.endpoint != NULL)
        json_object_object_add(object, "sync", sync_object(facts));
    if (facts->cluster.configured)
        json_object_object_add(object, "cluster", cluster_object(&facts->cluster));
    json_object_object_add(object, "uncorrelated_lines",
                           json_object_new_int64((int64_t)counts->uncorrelated));
    json_object_object_add(object, "parse_errors", json_object_new_int64((int64_t)counts->broken));
    json_object_object_add(object, "untrusted_lines", json_object_new_int64((int64_t)counts->untrusted));
    add_text(object, "last_error", wrong);
    json_object_object_add(object, "warnings",
                           warnings(facts, config, json_object_array_length(suspended) > 0));
    if (counts->uncorrelated > 0)
        json_object_object_add(object, "hint", json_object_new_string(BOARD_CORRELATION_REMEDY));
    char *text = xasprintf("%s\n", json_object_to_json_string_ext(
                                       object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
    return text;
}
