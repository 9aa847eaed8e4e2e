/* sendpostctl status: one screen that says whether mail and events flow. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/ctl.h"
#include "ctl/slow_words.h"
#include "ctl/status_private.h"
#include "ctl/status_shared.h"
#include "event/event_store.h"
#include "policy/breaker.h"
#include "policy/connections.h"
#include "policy/standing.h"

#define BAR 20

static const char *agent_text(const struct status *status, const char *key)
{
    return agent_health_text(status->agent, key);
}

/* --- printing ---------------------------------------------------------------------------------- */

static const char *span(int64_t ms, char buffer[32])
{
    int64_t seconds = ms < 0 ? 0 : (ms + 999) / 1000;

    if (seconds < 120)
        snprintf(buffer, 32, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        snprintf(buffer, 32, "%" PRId64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(buffer, 32, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(buffer, 32, "%" PRId64 " d", seconds / 86400);
    return buffer;
}

static void bar(char *text, size_t size, uint64_t used, uint32_t limit)
{
    char marks[BAR + 1];
    size_t full = limit == 0 ? 0 : used >= limit ? BAR : (size_t)(used * BAR / limit);

    memset(marks, '.', BAR);
    memset(marks, '#', full);
    marks[BAR] = '\0';
    if (limit == 0)
        snprintf(text, size, "%" PRIu64 ", no hourly limit", used);
    else
        snprintf(text, size, "[%s] %" PRIu64 " of %u", marks, used, limit);
}

#define STATE_SIZE 128

static const char *state_text(const struct status *status, size_t tpsp, char text[STATE_SIZE])
{
    const struct breaker *breaker = &status->breakers[tpsp];
    char wait[32];
    int length;

    if (breaker->state == BREAKER_CLOSED)
        length = snprintf(text, STATE_SIZE, "in use");
    else if (breaker->state == BREAKER_TRY)
        length = snprintf(text, STATE_SIZE, "to be tried (%u failures)", breaker->failures);
    else
        length = snprintf(text, STATE_SIZE, "left alone for %s (%u failures)",
                          span(breaker->until_ns / 1000000, wait), breaker->failures);
    if (status->config->tpsps[tpsp].max_connections > 0)
        snprintf(text + length, STATE_SIZE - (size_t)length, ", %u of %u connections",
                 status->connections[tpsp], status->config->tpsps[tpsp].max_connections);
    return text;
}

static void print_tpsps(const struct status *status)
{
    static const char *const headers[] = {"TPSP",      "STATE",     "ACCEPTED IN THE LAST HOUR",
                                          ">ACCEPTED", ">DEFERRED", ">DROPPED (24 H)"};
    struct ctl_table *table = ctl_table_new(6, headers);

    for (size_t i = 0; i <= status->config->tpsp_count; i++) {
        const struct tally *tally = &status->tallies[i];
        bool other = i == status->config->tpsp_count;
        char state[STATE_SIZE], rate[64], counts[3][24];
        if (other && tally->accepted + tally->deferred + tally->dropped == 0)
            break;
        bar(rate, sizeof rate, tally->last_hour, other ? 0 : status->config->tpsps[i].global_rate.limit);
        snprintf(counts[0], sizeof counts[0], "%" PRIu64, tally->accepted);
        snprintf(counts[1], sizeof counts[1], "%" PRIu64, tally->deferred);
        snprintf(counts[2], sizeof counts[2], "%" PRIu64, tally->dropped);
        ctl_table_row(table, (const char *const[]){other ? "(none)" : status->config->tpsps[i].name,
                                                   other ? "" : state_text(status, i, state),
                                                   other ? "" : rate, counts[0], counts[1], counts[2]});
    }
    ctl_table_print(table);
}

static void print_agent(const struct status *status)
{
    bool ok = status->agent != NULL && strcmp(agent_text(status, "status"), "ok") == 0;
    char up[32];
    AUTO_FREE char *text = NULL;

    if (status->config->listen == NULL)
        text = xstrdup("serves no HTTP (listen: none)");
    else if (status->agent == NULL)
        text = xasprintf("does not answer at %s: %s; is sendpost-agent running?", status->config->listen,
                         status->agent_error);
    else
        text = xasprintf("%s, version %s, up for %s, %s uncorrelated lines%s%s", agent_text(status, "status"),
                         agent_text(status, "version"),
                         span(atoll(agent_text(status, "uptime_seconds")) * 1000, up),
                         agent_text(status, "uncorrelated_lines"), ok ? "" : ": ",
                         ok ? "" : agent_text(status, "last_error"));
    AUTO_FREE char *clean = ctl_text(text);
    status_line("Agent", ok || status->config->listen == NULL, clean);
}

static void print_errors(const struct status *status)
{
    if (status->error_count == 0)
        return;
    printf("\n%sLast failures%s\n", ctl_colour(CTL_BOLD), ctl_colour(CTL_PLAIN));
    for (size_t i = 0; i < status->error_count; i++) {
        const struct event *event = &status->errors[i];
        AUTO_FREE char *recipient = ctl_text(event->recipient), *said = ctl_text(event->smtp_description);
        char ago[32];
        printf("  %s ago  %s  <%s>  %s%s%s\n", span(status->now_ms - event->timestamp_ms, ago),
               event_cs_name(event->cs), recipient, event->tpsp, event->tpsp[0] != '\0' ? ": " : "", said);
    }
}

static void print_held(const struct status *status)
{
    for (size_t i = 0; i < status->held_count; i++) {
        const struct held *held = &status->held[i];
        char since[CLOCK_RFC3339_SIZE];
        AUTO_FREE char *text =
            xasprintf("%s since %s, %" PRId64 " messages wait: %s%s%s", held->tpsp->name,
                      clock_rfc3339(held->standing.held_ms, since), held->messages, held->standing.text,
                      held->standing.mend[0] != '\0' ? "; see " : "", held->standing.mend);
        AUTO_FREE char *clean = ctl_text(text);
        status_line("Held", false, clean);
    }
}

static void print_slowed(const struct status *status)
{
    for (size_t i = 0; i < status->slowed.count; i++) {
        AUTO_FREE char *clean = ctl_text(status->slowed.lines[i]);
        printf("%-9s %s%s%s\n", "Slowed", ctl_colour(CTL_YELLOW), clean, ctl_colour(CTL_PLAIN));
    }
}

static struct json_object *held_json(const struct status *status)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < status->held_count; i++) {
        struct json_object *row = json_object_new_object();
        const struct held *held = &status->held[i];
        char since[CLOCK_RFC3339_SIZE];
        json_object_object_add(row, "tpsp", json_object_new_string(held->tpsp->name));
        json_object_object_add(row, "since",
                               json_object_new_string(clock_rfc3339(held->standing.held_ms, since)));
        json_object_object_add(row, "messages", json_object_new_int64(held->messages));
        json_object_object_add(row, "text", json_object_new_string(held->standing.text));
        json_object_object_add(row, "mend", json_object_new_string(held->standing.mend));
        json_object_array_add(list, row);
    }
    return list;
}

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

static void print_text(const struct status *status)
{
    char next[32], line[160];

    printf("postfix-sendpost %s, account %" PRId64 ", sub-account %" PRId64 "\n\n", PACKAGE_VERSION,
           status->config->account_id, status->config->subaccount_id);
    print_tpsps(status);
    if (status->waiting == 0)
        snprintf(line, sizeof line, "no message waits for another attempt");
    else
        snprintf(line, sizeof line, "%" PRId64 " wait for another attempt, the first one %s%s",
                 status->waiting, status->next_ms > status->now_ms ? "in " : "now",
                 status->next_ms > status->now_ms ? span(status->next_ms - status->now_ms, next) : "");
    printf("\n");
    status_line("Messages", true, line);
    print_held(status);
    print_slowed(status);
    snprintf(line, sizeof line, "%" PRId64 " pending, %" PRId64 " rejected%s", status->pending,
             status->rejected, status->config->endpoint == NULL ? ", kept here only (endpoint: none)" : "");
    status_line("Events", status->rejected == 0, line);
    print_leftovers(status);
    if (status->no_bounces + status->nobodys_bounces + status->unbelieved_bounces > 0) {
        snprintf(line, sizeof line,
                 "without an event: %" PRIu64 " of no message of ours, %" PRIu64 " not believed, %" PRIu64
                 " that were no bounces",
                 status->nobodys_bounces, status->unbelieved_bounces, status->no_bounces);
        status_line("Bounces", true, line);
    }
    print_agent(status);
    status_shared_print(status->config, ctl_store(status->ctl), status->agent);
    print_errors(status);
}

static struct json_object *tpsps_json(const struct status *status)
{
    static const char *const states[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_TRY] = "try", [BREAKER_OPEN] = "open"};
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        struct json_object *row = json_object_new_object();
        const struct tally *tally = &status->tallies[i];
        json_object_object_add(row, "tpsp", json_object_new_string(status->config->tpsps[i].name));
        json_object_object_add(row, "breaker", json_object_new_string(states[status->breakers[i].state]));
        json_object_object_add(row, "failures_in_a_row", json_object_new_int64(status->breakers[i].failures));
        if (status->config->tpsps[i].max_connections > 0) {
            json_object_object_add(row, "connections", json_object_new_int64(status->connections[i]));
            json_object_object_add(row, "max_connections",
                                   json_object_new_int64(status->config->tpsps[i].max_connections));
        }
        json_object_object_add(row, "max_rate_per_hour",
                               json_object_new_int64(status->config->tpsps[i].global_rate.limit));
        json_object_object_add(row, "accepted_last_hour", json_object_new_int64((int64_t)tally->last_hour));
        json_object_object_add(row, "accepted_last_day", json_object_new_int64((int64_t)tally->accepted));
        json_object_object_add(row, "deferred_last_day", json_object_new_int64((int64_t)tally->deferred));
        json_object_object_add(row, "dropped_last_day", json_object_new_int64((int64_t)tally->dropped));
        json_object_array_add(list, row);
    }
    return list;
}

static void print_json(const struct status *status)
{
    struct json_object *json = json_object_new_object(), *errors = json_object_new_array();

    for (size_t i = 0; i < status->error_count; i++)
        json_object_array_add(errors, event_to_json(&status->errors[i], NULL));
    json_object_object_add(json, "ok", json_object_new_boolean(status->ok));
    json_object_object_add(json, "version", json_object_new_string(PACKAGE_VERSION));
    json_object_object_add(json, "tpsps", tpsps_json(status));
    json_object_object_add(json, "corrupt_stores_aside", json_object_new_int64(status->leftovers.count));
    json_object_object_add(json, "salvage_unfinished", json_object_new_boolean(status->leftovers.unfinished));
    json_object_object_add(json, "waiting_messages", json_object_new_int64(status->waiting));
    json_object_object_add(json, "held", held_json(status));
    json_object_object_add(json, "pending_events", json_object_new_int64(status->pending));
    json_object_object_add(json, "rejected_events", json_object_new_int64(status->rejected));
    json_object_object_add(json, "bounces_unattributed",
                           json_object_new_int64((int64_t)status->nobodys_bounces));
    json_object_object_add(json, "bounces_unbelieved",
                           json_object_new_int64((int64_t)status->unbelieved_bounces));
    json_object_object_add(json, "bounces_ignored", json_object_new_int64((int64_t)status->no_bounces));
    status_shared_json(status->config, ctl_store(status->ctl), json);
    json_object_object_add(json, "agent", status->agent != NULL ? json_object_get(status->agent) : NULL);
    json_object_object_add(json, "slow_down", json_object_get(status->slowed.json));
    json_object_object_add(json, "last_failures", errors);
    ctl_print_json(json);
}

static enum ctl_status run(struct ctl *ctl)
{
    const struct config *config = ctl_config(ctl);

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operands: \"%s\"", ctl->operands[0]);
    if (config == NULL)
        return CTL_TROUBLE;
    AUTO_FREE struct status *status = xcalloc(1, sizeof *status);
    AUTO_FREE struct tally *tallies = xcalloc(config->tpsp_count + 1, sizeof *tallies);
    AUTO_FREE struct held *held = xcalloc(config->tpsp_count, sizeof *held);
    AUTO_FREE struct breaker *breakers = xcalloc(config->tpsp_count, sizeof *breakers);
    AUTO_FREE unsigned *connections = xcalloc(config->tpsp_count, sizeof *connections);
    *status = (struct status){.ctl = ctl,
                              .config = config,
                              .now_ms = clock_realtime_ms(),
                              .tallies = tallies,
                              .breakers = breakers,
                              .connections = connections,
                              .held = held,
                              .ok = true};
    if (!status_read(status))
        return CTL_TROUBLE;
    if (config->listen != NULL) {
        status->agent = agent_health(config, &status->agent_error);
        status->ok = status->ok && status->agent != NULL && strcmp(agent_text(status, "status"), "ok") == 0;
    }
    status->ok = status->ok && status->rejected == 0;
    if (ctl->json)
        print_json(status);
    else
        print_text(status);
    json_object_put(status->agent);
    json_object_put(status->slowed.json);
    for (size_t i = 0; i < status->slowed.count; i++)
        free(status->slowed.lines[i]);
    free(status->slowed.lines);
    free(status->agent_error);
    return status->ok ? CTL_OK : CTL_TROUBLE;
}

const struct ctl_command ctl_status_command = {
    .name = "status",
    .synopsis = "",
    .summary = "Show on one screen whether mail and events flow",
    .examples = "  sendpostctl status\n"
                "  sendpostctl status --json | jq .pending_events\n"
                "  watch sendpostctl status\n",
    .run = run,
};
