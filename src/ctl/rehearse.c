/*
 * sendpostctl rehearse FILE: how long the mail of late would have waited under another configuration
 * (policy/rehearsal.h). Nothing is sent, and nothing of the state changes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/people.h"
#include "event/event_store.h"
#include "policy/rehearsal.h"

/* What nobody can tell from events, where the configuration has it. */
static void print_left_out(const struct config *config)
{
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].max_connections > 0)
            printf("\nNot counted: max-connections of %s, for events do not tell how long a delivery took.\n",
                   config->tpsps[i].name);
    if (config->slow_down.enabled)
        printf("\nNot counted: slow-down, for nobody knows what a TPSP would have said to another pace.\n");
}

static struct json_object *left_out_json(const struct config *config)
{
    struct json_object *keys = json_object_new_array();

    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].max_connections > 0) {
            AUTO_FREE char *key = xasprintf("max-connections of %s", config->tpsps[i].name);
            json_object_array_add(keys, json_object_new_string(key));
        }
    if (config->slow_down.enabled)
        json_object_array_add(keys, json_object_new_string("slow-down"));
    return keys;
}

static void print_text(const struct rehearsal *rehearsal, size_t waited)
{
    static const char *const headers[] = {"HELD UP FIRST BY", ">MESSAGES", ">HALF OF THEM", ">LONGEST"};
    static const char *const tpsp_headers[] = {"TPSP", ">TOOK", ">WOULD TAKE"};
    char cells[3][PEOPLE_SPAN_SIZE];

    printf("%zu messages: %zu would go at once, %zu would wait", rehearsal->messages, rehearsal->at_once,
           waited);
    printf(rehearsal->expired > 0 ? ", %zu for longer than five days\n\n" : "\n\n", rehearsal->expired);
    struct ctl_table *table = ctl_table_new(3, tpsp_headers);
    for (size_t i = 0; i < rehearsal->tpsps.count; i++) {
        snprintf(cells[0], sizeof cells[0], "%zu", rehearsal->before[i]);
        snprintf(cells[1], sizeof cells[1], "%zu", rehearsal->after[i]);
        ctl_table_row(table, (const char *const[]){rehearsal->tpsps.items[i], cells[0], cells[1]});
    }
    ctl_table_print(table);
    if (waited == 0)
        return;
    printf("\n");
    table = ctl_table_new(4, headers);
    for (size_t i = 0; i < rehearsal->limits.count; i++) {
        const struct rehearsal_toll *toll = &rehearsal->tolls[i];
        if (toll->count == 0)
            continue;
        snprintf(cells[0], sizeof cells[0], "%zu", toll->count);
        people_span(toll->waits_ms[toll->count / 2], cells[1]);
        people_span(toll->waits_ms[toll->count - 1], cells[2]);
        ctl_table_row(table, (const char *const[]){rehearsal->limits.items[i], cells[0], cells[1], cells[2]});
    }
    ctl_table_print(table);
}

static void print_json(const struct rehearsal *rehearsal, size_t waited)
{
    struct json_object *json = json_object_new_object(), *tpsps = json_object_new_array(),
                       *limits = json_object_new_array();

    json_object_object_add(json, "messages", json_object_new_int64((int64_t)rehearsal->messages));
    json_object_object_add(json, "at_once", json_object_new_int64((int64_t)rehearsal->at_once));
    json_object_object_add(json, "waited", json_object_new_int64((int64_t)waited));
    json_object_object_add(json, "expired", json_object_new_int64((int64_t)rehearsal->expired));
    for (size_t i = 0; i < rehearsal->tpsps.count; i++) {
        struct json_object *row = json_object_new_object();
        json_object_object_add(row, "tpsp", json_object_new_string(rehearsal->tpsps.items[i]));
        json_object_object_add(row, "before", json_object_new_int64((int64_t)rehearsal->before[i]));
        json_object_object_add(row, "after", json_object_new_int64((int64_t)rehearsal->after[i]));
        json_object_array_add(tpsps, row);
    }
    for (size_t i = 0; i < rehearsal->limits.count; i++) {
        const struct rehearsal_toll *toll = &rehearsal->tolls[i];
        if (toll->count == 0)
            continue;
        struct json_object *row = json_object_new_object();
        json_add_text(row, "text", rehearsal->limits.items[i]);
        json_object_object_add(row, "waited", json_object_new_int64((int64_t)toll->count));
        json_add_decimal(row, "median_seconds", (double)toll->waits_ms[toll->count / 2] / 1000);
        json_add_decimal(row, "longest_seconds", (double)toll->waits_ms[toll->count - 1] / 1000);
        json_object_array_add(limits, row);
    }
    json_object_object_add(json, "tpsps", tpsps);
    json_object_object_add(json, "limits", limits);
    json_object_object_add(json, "not_counted", left_out_json(rehearsal->config));
    ctl_print_json(json);
}

struct feed {
    struct rehearsal *rehearsal;
    const char *bounce_prefix;
};

static bool add(void *context, const struct event *event, enum event_state state)
{
    const struct feed *feed = context;

    (void)state;
    rehearsal_add(feed->rehearsal, event, feed->bounce_prefix);
    return true;
}

static enum ctl_status rehearse(struct ctl *ctl, struct rehearsal *rehearsal, int64_t ago_ms)
{
    const struct event_filter filter = {.since_ms = clock_realtime_ms() - ago_ms};
    const struct config *config = ctl_config(ctl);
    struct store *store = config != NULL ? ctl_store(ctl) : NULL;
    struct outcome error;

    if (store == NULL)
        return CTL_TROUBLE;
    struct feed feed = {rehearsal, config->return_path.bounce_prefix};
    if (!event_store_each(store, &filter, add, &feed, &error) || !rehearsal_play(rehearsal, &error))
        return ctl_fail(ctl, "%s", error.text);
    size_t waited = rehearsal->messages - rehearsal->at_once;
    if (ctl->json) {
        print_json(rehearsal, waited);
    } else {
        print_text(rehearsal, waited);
        print_left_out(rehearsal->config);
    }
    return CTL_OK;
}

static enum ctl_status run(struct ctl *ctl)
{
    const char *since = ctl_option(ctl, "since");
    int64_t ago_ms = since != NULL ? people_duration_ms(since) : 86400 * 1000LL;
    struct outcome error;

    if (ctl->operand_count != 1)
        return ctl_usage(ctl, "one configuration is wanted, the one to try");
    if (ago_ms < 0)
        return ctl_usage(ctl, "\"%s\" is no duration: write it like 90s, 5m, 1h or 7d", since);
    /* while we may read what root may: it need not be the delivery user's */
    struct config *other = config_load(ctl->operands[0], &error);
    if (other == NULL || ctl_config(ctl) == NULL) {
        config_free(other);
        return other == NULL ? ctl_fail(ctl, "%s", error.text) : CTL_TROUBLE;
    }
    struct rehearsal *rehearsal = rehearsal_open(other, &error);
    enum ctl_status status =
        rehearsal != NULL ? rehearse(ctl, rehearsal, ago_ms) : ctl_fail(ctl, "%s", error.text);
    rehearsal_close(rehearsal);
    return status;
}

static const struct ctl_option options[] = {
    {"since", 0, "DURATION", "the mail of the last 90s, 5m, 1h, 7d (1d)"},
    {.name = NULL},
};

const struct ctl_command ctl_rehearse = {
    .name = "rehearse",
    .synopsis = "FILE [--since DURATION]",
    .summary = "Say how long the mail of late would have waited under another configuration",
    .examples = "  sendpostctl rehearse new-config.yaml\n"
                "  sendpostctl rehearse new-config.yaml --since 7d --json | jq '.limits'\n",
    .options = options,
    .run = run,
};
