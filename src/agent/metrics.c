#include "agent/metrics.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metrics_deliveries.h"
#include "base/clock.h"
#include "base/redact.h"
#include "base/xalloc.h"
#include "policy/connections.h"
#include "policy/slow_down.h"
#include "policy/suspension.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP sendpost_agent_%s %s\n# TYPE sendpost_agent_%s %s\n", name, help, name, type);
}

static void number(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    fprintf(out, "sendpost_agent_%s %llu\n", name, (unsigned long long)value);
}

static void labelled(FILE *out, const char *name, const char *label, const char *value, uint64_t count)
{
    fprintf(out, "sendpost_agent_%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)count);
}

static void write_log(FILE *out, const struct board_facts *facts)
{
    const struct track_counts *counts = &facts->ingest.counts;

    number(out, "lines_total", "counter", "Lines of the log read.", counts->lines);
    number(out, "postfix_lines_total", "counter", "Lines written by Postfix.", counts->postfix);
    number(out, "parse_errors_total", "counter", "Lines that begin like a delivery and are none.",
           counts->broken);
    number(out, "deliveries_total", "counter", "Delivery attempts of messages with a UUID.",
           counts->deliveries);
    number(out, "correlation_warnings_total", "counter", "Deliveries to the outside without a UUID.",
           counts->uncorrelated);
    number(out, "untrusted_total", "counter",
           "Deliveries whose UUID came from a client that is no sender of ours, and proves nothing.",
           counts->untrusted);
    number(out, "log_unread_lines", "gauge",
           "Lines of Postfix that were not understood, with none that was; 0: no trouble.",
           facts->ingest.unread);
    number(out, "journal_strangers_total", "counter",
           "Entries of the journal under Postfix's name that others have written.", facts->ingest.strangers);
    number(out, "correlations", "gauge", "Messages in the MTA's queue that are followed.",
           facts->ingest.correlations);
    number(out, "correlations_evicted_total", "counter", "Messages forgotten because the table was full.",
           facts->ingest.evicted);
    number(out, "deferrals_coalesced_total", "counter",
           "Deferrals not reported, by report.deferred-interval.", facts->ingest.coalesced);
    number(out, "journal_suppressed_total", "counter", "Messages that journald has thrown away.",
           facts->ingest.suppressed);
    number(out, "log_readable", "gauge", "Whether the log is open and can be read.",
           facts->log_open && facts->log_error[0] == '\0' && facts->ingest.unread == 0);
    number(out, "log_lag_bytes", "gauge", "Bytes of the log still to be read.",
           (uint64_t)board_unread(facts));
    head(out, "log_lag_seconds", "gauge", "Age of the last line read while there is more to read.");
    fprintf(out, "sendpost_agent_log_lag_seconds %.3f\n", board_lag_seconds(facts));
    head(out, "pipe_deliveries_total", "counter", "Deliveries by sendpost-pipe, as it has logged them.");
    labelled(out, "pipe_deliveries_total", "status", "sent", counts->own[POSTFIX_STATUS_SENT]);
    labelled(out, "pipe_deliveries_total", "status", "deferred", counts->own[POSTFIX_STATUS_DEFERRED]);
    labelled(out, "pipe_deliveries_total", "status", "dropped", counts->own[POSTFIX_STATUS_BOUNCED]);
}

static void write_reports(FILE *out, const struct board_facts *facts)
{
    static const char *const results[BOARD_POST_COUNT] = {"accepted", "refused", "key_refused", "failed"};
    uint64_t total = 0;

    number(out, "pending_events", "gauge", "Events waiting to be reported.", (uint64_t)facts->pending);
    number(out, "rejected_events", "gauge", "Events that the API has refused for good.",
           (uint64_t)facts->rejected);
    number(out, "corrupt_stores_aside", "gauge", "Corrupt stores that were moved aside and not removed yet.",
           facts->corrupt_stores);
    number(out, "reported_events_total", "counter", "Events that the API has taken.",
           facts->reported.reported);
    head(out, "bounces_without_event_total", "counter",
         "What sendpost-bounce was given and made no event of: no bounces, bounces of no message of ours, "
         "and those that were not believed, forged ones among them.");
    labelled(out, "bounces_without_event_total", "reason", "ignored", facts->no_bounces);
    labelled(out, "bounces_without_event_total", "reason", "unattributed", facts->nobodys_bounces);
    labelled(out, "bounces_without_event_total", "reason", "unbelieved", facts->unbelieved_bounces);
    number(out, "complaints_total", "counter",
           "Recipients who have told their provider that a message was spam, and are suppressed for it.",
           facts->complaints);
    head(out, "posts_total", "counter", "Requests to the event API by result.");
    for (int i = 0; i < BOARD_POST_COUNT; i++)
        labelled(out, "posts_total", "result", results[i], facts->posts[i]);
    head(out, "post_duration_seconds", "histogram", "Time of one request to the event API.");
    for (int i = 0; i < BOARD_BUCKETS; i++) {
        total += facts->latency_counts[i];
        if (isinf(board_bucket_bounds[i]))
            fprintf(out, "sendpost_agent_post_duration_seconds_bucket{le=\"+Inf\"} %llu\n",
                    (unsigned long long)total);
        else
            fprintf(out, "sendpost_agent_post_duration_seconds_bucket{le=\"%g\"} %llu\n",
                    board_bucket_bounds[i], (unsigned long long)total);
    }
    fprintf(
        out,
        "sendpost_agent_post_duration_seconds_sum %.3f\nsendpost_agent_post_duration_seconds_count %llu\n",
        facts->latency_sum_s, (unsigned long long)total);
    head(out, "last_report_timestamp_seconds", "gauge", "When the API last took events; 0: not yet.");
    fprintf(out, "sendpost_agent_last_report_timestamp_seconds %.3f\n", (double)facts->last_report_ms / 1000);
}

/* The rate slots of each TPSP, from the shared memory that the deliverers use. */
static void write_limit(FILE *out, struct rate_table *table, const char *tpsp, struct rate_limit *limit)
{
    char rate[RATE_TEXT_SIZE];
    int64_t next;
    unsigned available = rate_limit_peek(table, limit, &next);

    if (limit->provider != NULL && limit->entry == NULL)
        return; /* nothing was ever sent there: 27 providers with nothing to say */
    fprintf(out, "sendpost_agent_rate_slots_free{tpsp=\"%s\",provider=\"%s\",limit=\"%s\"} %u\n", tpsp,
            limit->provider != NULL ? limit->provider : "", rate_text(&limit->rate, rate), available);
}

static void write_slowed(FILE *out, struct slow_down *slow_down, int provider)
{
    const char *name = provider < 0 ? "" : provider_category_name((enum provider_category)provider);
    struct slow_down_view view;

    slow_down->provider = provider < 0 ? PROVIDER_DEFAULT : (enum provider_category)provider;
    if (!slow_down_look(slow_down, provider >= 0, &view) && provider >= 0)
        return;
    fprintf(out, "sendpost_agent_slow_down_factor{tpsp=\"%s\",provider=\"%s\"} %.4f\n", slow_down->tpsp->name,
            name, view.paused ? 0 : view.factor);
}

/* 1: whole, 0: paused. The TPSPs always, providers where something is slowed down. */
static void write_factors(FILE *out, const struct config *config, struct rate_table *table)
{
    head(out, "slow_down_factor", "gauge",
         "What is left of a limit that was slowed down because the other side asked for it; 0: paused.");
    for (size_t i = 0; i < config->tpsp_count; i++) {
        struct slow_down slow_down = {.config = config, .table = table, .tpsp = &config->tpsps[i]};
        for (int provider = -1; provider < PROVIDER_COUNT; provider++)
            write_slowed(out, &slow_down, provider);
    }
}

static void write_suspension(void *context, const struct suspension_scope *scope,
                             const struct suspension *suspension)
{
    double until_s = (double)suspension->until_ms / 1000;

    fprintf(context, "sendpost_agent_suspended_until_seconds{tpsp=\"%s\",provider=\"%s\",pool=\"%s\"} ",
            scope->tpsp != NULL ? scope->tpsp : "", scope->provider != NULL ? scope->provider : "",
            scope->pool != NULL ? scope->pool : "");
    fprintf(context, suspension->until_ms == SUSPENSION_OPEN ? "+Inf\n" : "%.0f\n", until_s);
}

static void write_suspensions(FILE *out, const struct config *config, struct rate_table *table)
{
    head(out, "suspended_until_seconds", "gauge",
         "Until when a TPSP, a provider at it, or a pool is suspended by hand (sendpostctl suspend).");
    suspension_each(config, table, clock_realtime_ms(), write_suspension, out);
}

static void write_rates(FILE *out, const struct config *config)
{
    struct rate_table *table;
    struct outcome error;

    if (!rate_table_open(&table, config->state_dir, &rate_clock_system, &error))
        return;
    fprintf(out,
            "# HELP sendpost_agent_rate_slots_free Messages that may be sent at once under a rate limit.\n"
            "# TYPE sendpost_agent_rate_slots_free gauge\n");
    for (size_t i = 0; i < config->tpsp_count; i++)
        for (int provider = 0; provider < PROVIDER_COUNT; provider++) {
            struct rate_set set;
            if (!rate_set_init(&set, &config->tpsps[i], (enum provider_category)provider, config->rate_burst,
                               &error))
                break;
            /* the global ones come with each provider: once is enough */
            for (size_t j = 0; j < set.count; j++)
                if (provider == 0 || set.limits[j].provider != NULL)
                    write_limit(out, table, config->tpsps[i].name, &set.limits[j]);
        }
    write_factors(out, config, table);
    write_suspensions(out, config, table);
    rate_table_close(table);
}

static void write_connections(FILE *out, const struct config *config)
{
    struct connections_desk *leases = connections_open(config);

    head(out, "tpsp_connections", "gauge", "Connections to a TPSP with max-connections that are in use.");
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].max_connections > 0)
            labelled(out, "tpsp_connections", "tpsp", config->tpsps[i].name,
                     connections_count(leases, &config->tpsps[i]));
    head(out, "tpsp_connections_max", "gauge", "max-connections of a TPSP.");
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].max_connections > 0)
            labelled(out, "tpsp_connections_max", "tpsp", config->tpsps[i].name,
                     config->tpsps[i].max_connections);
    connections_close(leases);
}

static void write_held(FILE *out, const struct board_facts *facts)
{
    head(out, "held_messages", "gauge",
         "Messages that wait for trouble with a TPSP to be mended: login, TLS, host name, network, account.");
    for (size_t i = 0; i < facts->held_count; i++)
        labelled(out, "held_messages", "tpsp", facts->held[i].tpsp, (uint64_t)facts->held[i].messages);
    head(out, "held_since_timestamp_seconds", "gauge", "Since when mail is held for a TPSP.");
    for (size_t i = 0; i < facts->held_count; i++)
        fprintf(out, "sendpost_agent_held_since_timestamp_seconds{tpsp=\"%s\"} %.3f\n", facts->held[i].tpsp,
                (double)facts->held[i].since_ms / 1000);
}

static void write_tokens(FILE *out, const struct board_facts *facts)
{
    head(out, "oauth_token_expires_timestamp_seconds", "gauge",
         "When the OAuth token for a TPSP ends; 0: there is none.");
    for (size_t i = 0; i < facts->token_count; i++)
        fprintf(out, "sendpost_agent_oauth_token_expires_timestamp_seconds{tpsp=\"%s\"} %.3f\n",
                facts->tokens[i].tpsp, (double)facts->tokens[i].expires_ms / 1000);
    head(out, "oauth_refresh_token_expires_timestamp_seconds", "gauge",
         "When a new login will be needed, where the provider says so.");
    for (size_t i = 0; i < facts->token_count; i++)
        if (facts->tokens[i].refresh_expires_ms > 0)
            fprintf(out, "sendpost_agent_oauth_refresh_token_expires_timestamp_seconds{tpsp=\"%s\"} %.3f\n",
                    facts->tokens[i].tpsp, (double)facts->tokens[i].refresh_expires_ms / 1000);
    head(out, "oauth_failing", "gauge", "Whether the last renewal of a token failed.");
    for (size_t i = 0; i < facts->token_count; i++)
        labelled(out, "oauth_failing", "tpsp", facts->tokens[i].tpsp, facts->tokens[i].error[0] != '\0');
}

static void write_cluster(FILE *out, const struct board_cluster *cluster)
{
    if (!cluster->configured)
        return;
    number(out, "cluster_up", "gauge", "Whether the server of the cluster answers.",
           cluster->away_since_ms == 0);
    head(out, "cluster_away_since_timestamp_seconds", "gauge", "Since when it does not; 0: it does.");
    fprintf(out, "sendpost_agent_cluster_away_since_timestamp_seconds %.3f\n",
            (double)cluster->away_since_ms / 1000);
    head(out, "cluster_delay_seconds", "gauge", "Round trip of the last question to it.");
    fprintf(out, "sendpost_agent_cluster_delay_seconds %.6f\n", (double)cluster->delay_us / 1000000);
    number(out, "cluster_granted_total", "counter", "Deliveries of this host that it let pass.",
           (uint64_t)cluster->taken);
    number(out, "cluster_hosts", "gauge", "Hosts that were heard of within a minute.", cluster->host_count);
    head(out, "cluster_suppression_timestamp_seconds", "gauge",
         "When the suppression list was last the others'.");
    fprintf(out, "sendpost_agent_cluster_suppression_timestamp_seconds %.3f\n",
            (double)cluster->list_complete_ms / 1000);
    number(out, "cluster_suppression_sent_total", "counter", "Changes of the list that others were told.",
           cluster->changes_sent);
    number(out, "cluster_suppression_taken_total", "counter", "Changes of the list that others made.",
           cluster->changes_taken);
    head(out, "cluster_tpsp_connections", "gauge",
         "Connections to a TPSP with max-connections that all hosts have.");
    for (size_t i = 0; i < cluster->connection_count; i++)
        labelled(out, "cluster_tpsp_connections", "tpsp", cluster->connections[i].tpsp,
                 cluster->connections[i].in_use);
    uint64_t other_keys = 0;
    for (size_t i = 0; i < cluster->host_count; i++)
        other_keys += cluster->hosts[i].other_key;
    number(out, "cluster_hosts_with_other_uuid_key", "gauge",
           "Hosts whose mail's bounces are not believed here.", other_keys);
}

char *metrics_prometheus(const struct board_facts *facts, const struct config *config,
                         const struct page_queue *queue)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (out == NULL)
        return xstrdup("");
    head(out, "info", "gauge", "Version.");
    fprintf(out, "sendpost_agent_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
    head(out, "start_time_seconds", "gauge", "When the agent started.");
    fprintf(out, "sendpost_agent_start_time_seconds %.3f\n", (double)facts->started_ms / 1000);
    write_log(out, facts);
    head(out, "events_total", "counter", "Events made of the log, by type.");
    for (int cs = CS_SENT; cs <= CS_SOFT_BOUNCED; cs++)
        labelled(out, "events_total", "type", event_type(&(struct event){.cs = (enum event_cs)cs}),
                 facts->ingest.events[cs]);
    write_reports(out, facts);
    write_held(out, facts);
    write_tokens(out, facts);
    if (config->sendpost.endpoint != NULL) {
        head(out, "sync_last_timestamp_seconds", "gauge",
             "When lists were last the same here and at SendPost.");
        fprintf(out, "sendpost_agent_sync_last_timestamp_seconds %.3f\n", (double)facts->sync_last_ms / 1000);
        head(out, "sync_failing", "gauge", "Whether the last synchronisation failed.");
        fprintf(out, "sendpost_agent_sync_failing %d\n", facts->sync_error[0] != '\0');
        head(out, "sync_unconfirmed", "gauge",
             "Suppressed addresses that are gone at SendPost, and wait for sync --confirm.");
        fprintf(out, "sendpost_agent_sync_unconfirmed %lld\n", (long long)facts->sync_gone);
        number(out, "sync_leads", "gauge",
               "Whether this host synchronises with SendPost, for its cluster or alone.",
               !facts->cluster.configured || facts->cluster.leads_sync);
    }
    write_cluster(out, &facts->cluster);
    write_rates(out, config);
    write_connections(out, config);
    metrics_deliveries(out, config, queue);
    fclose(out);
    return text != NULL ? text : xstrdup("");
}
