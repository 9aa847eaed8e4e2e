/* sendpostctl status: one screen that says whether mail and events flow, and what it is that they do not. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/people.h"
#include "ctl/status_private.h"
#include "ctl/status_shared.h"

#define QUEUE_PATIENCE_MS 4000
#define REASONS 3 /* why else mail waits: those that are shown */

static const char *agent_text(const struct status *status, const char *key)
{
    return agent_health_text(status->agent, key);
}

/* --- what is not well --------------------------------------------------------------------------------- */

static void print_headline(const struct status *status)
{
    bool ok = status->trouble_count == 0;

    printf("postfix-sendpost is %s%s%s", ctl_colour(ok ? CTL_GREEN : CTL_RED), ok ? "healthy" : "not healthy",
           ctl_colour(CTL_PLAIN));
    if (ok) {
        printf(": mail and events flow\n");
    } else {
        AUTO_FREE char *text = ctl_text(status->trouble[0].text);
        printf(": %s\n", text);
    }
    for (size_t i = 0; i < status->trouble_count; i++) {
        AUTO_FREE char *text = ctl_text(status->trouble[i].text),
                       *command = ctl_text(status->trouble[i].command);
        if (i > 0)
            printf("  and %s\n", text);
        printf("  mend it: %s\n", command);
    }
    printf("version %s, account %" PRId64 ", sub-account %" PRId64 "\n\n", PACKAGE_VERSION,
           status->config->account_id, status->config->subaccount_id);
}

/* --- TPSPs -------------------------------------------------------------------------------------------- */

#define STATE_SIZE (80 + PEOPLE_SPAN_SIZE + LIMITS_CONNECTIONS_SIZE)

static const char *state_text(const struct status_tpsp *tpsp, char text[STATE_SIZE])
{
    const struct breaker *breaker = &tpsp->breaker;
    char wait[PEOPLE_SPAN_SIZE], connections[LIMITS_CONNECTIONS_SIZE];

    limits_connections_text(&tpsp->connections, tpsp->config, connections);
    if (breaker->state == BREAKER_CLOSED)
        snprintf(text, STATE_SIZE, "in use%s", connections);
    else if (breaker->state == BREAKER_TRY)
        snprintf(text, STATE_SIZE, "to be tried (%u failures%s)%s", breaker->failures, breaker_whose(breaker),
                 connections);
    else
        snprintf(text, STATE_SIZE, "left alone for %s (%u failures%s)%s",
                 people_span(breaker->until_ns / 1000000, wait), breaker->failures, breaker_whose(breaker),
                 connections);
    return text;
}

static void add_counts(struct ctl_table *table, const char *name, const char *state,
                       const struct status_counts *counts)
{
    const uint64_t numbers[] = {counts->delivered, counts->deferred, counts->dropped, counts->bounced,
                                counts->soft_bounced};
    char texts[5][24];

    for (size_t i = 0; i < 5; i++)
        snprintf(texts[i], sizeof texts[i], "%" PRIu64, numbers[i]);
    ctl_table_row(table,
                  (const char *const[]){name, state, texts[0], texts[1], texts[2], texts[3], texts[4]});
}

/* What none of them did as well: what the MTA sent by itself, what was dropped before any was asked. */
static void print_tpsps(const struct status *status)
{
    static const char *const headers[] = {"TPSP",     "STATE",    ">DELIVERED",          ">DEFERRED",
                                          ">DROPPED", ">BOUNCED", ">SOFT_BOUNCED (24 H)"};
    struct ctl_table *table = ctl_table_new(7, headers);
    struct status_counts rest = status->day;
    char state[STATE_SIZE];

    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        const struct status_tpsp *tpsp = &status->tpsps[i];
        add_counts(table, tpsp->config->name, state_text(tpsp, state), &tpsp->day);
        rest.delivered -= tpsp->day.delivered;
        rest.deferred -= tpsp->day.deferred;
        rest.dropped -= tpsp->day.dropped;
        rest.bounced -= tpsp->day.bounced;
        rest.soft_bounced -= tpsp->day.soft_bounced;
    }
    if (rest.delivered + rest.deferred + rest.dropped + rest.bounced + rest.soft_bounced > 0)
        add_counts(table, "(none)", "", &rest);
    ctl_table_print(table);
    printf("\n");
}

static void print_limits(const struct status *status)
{
    for (size_t i = 0; i < status->config->tpsp_count; i++)
        for (size_t k = 0; k < status->tpsps[i].limit_count; k++)
            status_line("Rate", true, status->tpsps[i].limits[k]);
    for (size_t i = 0; i < status->slowed_count; i++)
        status_line("Slowed", false, status->slowed[i]);
    for (size_t i = 0; i < status->suspended_count; i++)
        status_line("Suspended", false, status->suspended[i]);
}

static void print_certificates(const struct status *status)
{
    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        const struct status_tpsp *tpsp = &status->tpsps[i];
        int64_t left_ms = tpsp->certificate_ms - status->now_ms;
        if (tpsp->certificate_ms == 0)
            continue;
        AUTO_FREE char *text = left_ms > 0 ? xasprintf("certificate of %s good for %" PRId64 " days",
                                                       tpsp->config->name, left_ms / DAY_MS)
                                           : xasprintf("certificate of %s has ended", tpsp->config->name);
        status_line("TLS", left_ms > STATUS_CERTIFICATE_SOON_MS, text);
    }
}

/* --- mail that waits ---------------------------------------------------------------------------------- */

static void print_wait(const struct status *status, enum backlog_wait wait)
{
    const struct backlog *backlog = &status->backlog;
    uint64_t count = backlog->recipients[wait];
    char span[PEOPLE_SPAN_SIZE];

    if (count == 0)
        return;
    printf("%10s%" PRIu64 " %s", "", count, backlog_wait_text(wait, count));
    if (wait == BACKLOG_ATTEMPT && backlog->next_ms > status->now_ms)
        printf(", the first in %s", people_span(backlog->next_ms - status->now_ms, span));
    printf("\n");
    for (size_t i = 0; wait == BACKLOG_OTHER && i < backlog->reason_count && i < REASONS; i++) {
        AUTO_FREE char *text = ctl_text(backlog->reasons[i].text);
        printf("%12s%" PRIu64 ": %s\n", "", backlog->reasons[i].count, text);
    }
}

static void print_queue(const struct status *status)
{
    const struct backlog *backlog = &status->backlog;
    char oldest[PEOPLE_SPAN_SIZE];

    if (!status->queue_known) {
        AUTO_FREE char *text = xasprintf("not known: %s", status->why_no_queue);
        status_line("Queue", true, text);
        return;
    }
    AUTO_FREE char *text = backlog->messages == 0
                               ? xstrdup("Postfix's is empty")
                               : xasprintf("%s%" PRIu64 " %s in Postfix's, the oldest came %s ago",
                                           backlog->complete ? "" : "more than ", backlog->messages,
                                           backlog->messages == 1 ? "message" : "messages",
                                           people_span(status->now_ms - backlog->oldest_ms, oldest));
    status_line("Queue", true, text);
    for (int wait = 0; wait < BACKLOG_WAITS; wait++)
        print_wait(status, (enum backlog_wait)wait);
}

/* What the retry ladder has, where the queue does not tell of it. */
static void print_waiting(const struct status *status)
{
    const uint64_t *seen = status->backlog.recipients;
    uint64_t told = seen[BACKLOG_ATTEMPT] + seen[BACKLOG_HELD] + seen[BACKLOG_RATE] +
                    seen[BACKLOG_SUSPENDED] + seen[BACKLOG_ALONE];
    char next[PEOPLE_SPAN_SIZE], line[160];

    if (status->waiting > (int64_t)told) {
        snprintf(line, sizeof line, "%" PRId64 " wait for another attempt, the first one %s%s",
                 status->waiting, status->next_ms > status->now_ms ? "in " : "now",
                 status->next_ms > status->now_ms ? people_span(status->next_ms - status->now_ms, next) : "");
        status_line("Messages", true, line);
    }
}

static void print_held(const struct status *status)
{
    for (size_t i = 0; i < status->held_count; i++) {
        const struct held *held = &status->held[i];
        char since[PEOPLE_TIME_SIZE];
        AUTO_FREE char *text =
            xasprintf("%s since %s, %" PRId64 " %s: %s%s%s", held->tpsp->name,
                      people_when(held->standing.held_ms, since), held->messages,
                      held->messages == 1 ? "message waits" : "messages wait", held->standing.text,
                      held->standing.mend[0] != '\0' ? "; see " : "", held->standing.mend);
        status_line("Held", false, text);
    }
}

/* --- events, log, agent, disk ------------------------------------------------------------------------- */

static void print_leftovers(const struct status *status)
{
    const struct store_leftovers *leftovers = &status->leftovers;
    AUTO_FREE char *text =
        leftovers->unfinished
            ? xstrdup("was corrupt, and what could be read of it is not brought over yet")
            : xasprintf("was corrupt: %u file%s aside, the latest %s; sendpostctl check tells more",
                        leftovers->count, leftovers->count == 1 ? "" : "s", leftovers->latest);

    if (leftovers->count > 0 || leftovers->unfinished)
        status_line("Store", false, text);
}

static void print_events(const struct status *status)
{
    char line[160];

    snprintf(line, sizeof line, "%" PRId64 " pending, %" PRId64 " rejected%s", status->pending,
             status->rejected, status->config->endpoint == NULL ? ", kept here only (endpoint: none)" : "");
    status_line("Events", status->rejected == 0, line);
    if (status->no_bounces + status->nobodys_bounces + status->unbelieved_bounces > 0) {
        snprintf(line, sizeof line,
                 "without an event: %" PRIu64 " of no message of ours, %" PRIu64 " not believed, %" PRIu64
                 " that were no bounces",
                 status->nobodys_bounces, status->unbelieved_bounces, status->no_bounces);
        status_line("Bounces", true, line);
    }
}

static void print_agent(const struct status *status)
{
    bool ok = status->agent != NULL && strcmp(agent_text(status, "status"), "ok") == 0;
    char up[PEOPLE_SPAN_SIZE];
    AUTO_FREE char *text = NULL;

    if (status->config->listen == NULL)
        text = xstrdup("serves no HTTP (listen: none)");
    else if (status->agent == NULL)
        text = xasprintf("does not answer at %s: %s; systemctl start sendpost-agent", status->config->listen,
                         status->agent_error);
    else
        text = xasprintf("%s, version %s, up for %s, %s uncorrelated lines%s%s", agent_text(status, "status"),
                         agent_text(status, "version"),
                         people_span(atoll(agent_text(status, "uptime_seconds")) * 1000, up),
                         agent_text(status, "uncorrelated_lines"), ok ? "" : ": ",
                         ok ? "" : agent_text(status, "last_error"));
    status_line("Agent", ok || status->config->listen == NULL, text);
}

static void print_log(const struct status *status)
{
    char written[PEOPLE_SPAN_SIZE], read[PEOPLE_SPAN_SIZE];
    bool journal = strcmp(status->config->log_path, "journal") == 0;
    AUTO_FREE char *age =
        journal ? xstrdup("")
        : status->log_written_ms > 0
            ? xasprintf(": written %s ago", people_span(status->now_ms - status->log_written_ms, written))
            : xstrdup(": cannot be seen");
    AUTO_FREE char *text =
        status->log_line_ms > 0
            ? xasprintf("%s%s, the last line that the agent has read is %s old", status->config->log_path,
                        age, people_span(status->now_ms - status->log_line_ms, read))
            : xasprintf("%s%s, the agent has read nothing yet", status->config->log_path, age);

    status_line("Log", true, text);
}

static void print_disk(const struct status *status)
{
    double part = status->disk_size > 0 ? (double)status->disk_free / (double)status->disk_size : 1;
    AUTO_FREE char *text = xasprintf("%.0f %% of %s is free (%.1f GB)", 100 * part, status->config->state_dir,
                                     (double)status->disk_free / 1e9);

    if (status->disk_size > 0)
        status_line("Disk", part >= STATUS_DISK_LOW, text);
}

static void print_errors(const struct status *status)
{
    char at[PEOPLE_TIME_SIZE];

    if (status->error_count == 0)
        return;
    printf("\n%sLast failures%s\n", ctl_colour(CTL_BOLD), ctl_colour(CTL_PLAIN));
    for (size_t i = 0; i < status->error_count; i++) {
        const struct event *event = &status->errors[i];
        const char *what = event_type(event);
        AUTO_FREE char *recipient = ctl_text(event->recipient), *said = ctl_text(event->smtp_description);
        printf("  %s  %s%s%s  <%s>  %s%s%s\n", people_when(event->timestamp_ms, at),
               ctl_colour(people_colour(what)), what, ctl_colour(CTL_PLAIN), recipient, event->tpsp,
               event->tpsp[0] != '\0' ? ": " : "", said);
    }
}

static void print_text(const struct status *status)
{
    print_headline(status);
    print_tpsps(status);
    print_limits(status);
    print_queue(status);
    print_waiting(status);
    print_held(status);
    print_events(status);
    print_leftovers(status);
    print_agent(status);
    print_log(status);
    print_disk(status);
    print_certificates(status);
    status_shared_print(status->config, ctl_store(status->ctl), status->agent);
    print_errors(status);
}

/* ------------------------------------------------------------------------------------------------------ */

static void clear(struct status *status)
{
    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        struct status_tpsp *tpsp = &status->tpsps[i];
        for (size_t k = 0; k < tpsp->limit_count; k++)
            free(tpsp->limits[k]);
        free(tpsp->limits);
        json_object_put(tpsp->limits_json);
        json_object_put(tpsp->slow_down_json);
    }
    for (size_t i = 0; i < status->slowed_count; i++)
        free(status->slowed[i]);
    free(status->slowed);
    for (size_t i = 0; i < status->suspended_count; i++)
        free(status->suspended[i]);
    free(status->suspended);
    json_object_put(status->suspended_json);
    for (size_t i = 0; i < status->trouble_count; i++) {
        free(status->trouble[i].text);
        free(status->trouble[i].command);
    }
    free(status->trouble);
    json_object_put(status->agent);
    free(status->agent_error);
    free(status->why_no_queue);
}

static enum ctl_status run(struct ctl *ctl)
{
    const struct config *config = ctl_config(ctl);

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"", ctl->operands[0]);
    if (config == NULL)
        return CTL_TROUBLE;
    AUTO_FREE struct status *status = xcalloc(1, sizeof *status);
    AUTO_FREE struct status_tpsp *tpsps = xcalloc(config->tpsp_count, sizeof *tpsps);
    AUTO_FREE struct held *held = xcalloc(config->tpsp_count, sizeof *held);
    *status = (struct status){
        .ctl = ctl, .config = config, .now_ms = clock_realtime_ms(), .tpsps = tpsps, .held = held};
    for (size_t i = 0; i < config->tpsp_count; i++)
        tpsps[i].config = &config->tpsps[i];
    bool known = status_read(status);
    if (known) {
        status_find_trouble(status);
        ctl->json ? status_print_json(status) : print_text(status);
    }
    bool ok = known && status->trouble_count == 0;
    clear(status);
    return ok ? CTL_OK : CTL_TROUBLE;
}

const struct ctl_command ctl_status_command = {
    .name = "status",
    .synopsis = "",
    .summary = "Show on one screen whether mail and events flow",
    .examples = "  sendpostctl status\n"
                "  sendpostctl status --json | jq .pending_events\n"
                "  watch sendpostctl status\n",
    .reads_log = true,
    .asks_queue = true,
    .queue_patience_ms = QUEUE_PATIENCE_MS,
    .tells_rights = true,
    .run = run,
};
