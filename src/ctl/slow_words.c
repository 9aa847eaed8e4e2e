#include "ctl/slow_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/people.h"

#define SECOND_NS INT64_C(1000000000)

static int64_t seconds_until(const struct rate_table *table, int64_t time_ns)
{
    int64_t wait = time_ns - rate_table_now(table);

    return wait <= 0 ? 0 : (wait + SECOND_NS - 1) / SECOND_NS;
}

char *slow_words(const struct slow_down_view *view, struct rate_table *table, const char *tpsp,
                 const char *provider)
{
    char rate[RATE_TEXT_SIZE], since[PEOPLE_TIME_SIZE], slowed[160] = "", paused[64] = "", fewer[64] = "";

    if (view->slowed)
        snprintf(slowed, sizeof slowed,
                 " slowed down to %s (%.0f%%), %s next step up in %" PRId64 " s at the earliest,",
                 rate_text(&view->rate, rate), view->factor * 100,
                 view->blocked > 0 ? "nothing is accepted and one message at a time asks," : "",
                 seconds_until(table, view->next_ns));
    if (view->paused)
        snprintf(paused, sizeof paused, " paused for %" PRId64 " s more,",
                 seconds_until(table, view->until_ns));
    if (view->connections_limited)
        snprintf(fewer, sizeof fewer, " at most %u connections,", view->connections);
    return xasprintf("%s%s%s%s%s%s since %s: %s", tpsp, provider != NULL ? " to " : "",
                     provider != NULL ? provider : "", slowed, paused, fewer,
                     people_when(view->began_ms, since), view->said);
}

static void each(const struct config *config, struct rate_table *table, const struct config_tpsp *tpsp,
                 void (*visit)(void *context, const struct slow_down_view *view, const char *provider),
                 void *context)
{
    struct slow_down slow_down = {.config = config, .table = table, .tpsp = tpsp};
    struct slow_down_view view;

    if (slow_down_look(&slow_down, false, &view))
        visit(context, &view, NULL);
    for (int provider = 0; provider < PROVIDER_COUNT; provider++) {
        slow_down.provider = (enum provider_category)provider;
        if (slow_down_look(&slow_down, true, &view))
            visit(context, &view, provider_category_name(slow_down.provider));
    }
}

struct lines {
    struct rate_table *table;
    const struct config_tpsp *tpsp;
    void (*tell)(void *context, const char *line);
    void *context;
    struct json_object *list;
};

static void line(void *context, const struct slow_down_view *view, const char *provider)
{
    const struct lines *lines = context;
    AUTO_FREE char *text = slow_words(view, lines->table, lines->tpsp->name, provider);

    lines->tell(lines->context, text);
}

void slow_words_each(const struct config *config, struct rate_table *table, const struct config_tpsp *tpsp,
                     void (*tell)(void *context, const char *line), void *context)
{
    struct lines lines = {.table = table, .tpsp = tpsp, .tell = tell, .context = context};

    each(config, table, tpsp, line, &lines);
}

static void object(void *context, const struct slow_down_view *view, const char *provider)
{
    const struct lines *lines = context;
    struct json_object *row = json_object_new_object();

    json_object_object_add(row, "provider", provider != NULL ? json_object_new_string(provider) : NULL);
    json_object_object_add(row, "slowed", json_object_new_boolean(view->slowed));
    if (view->slowed) {
        json_object_object_add(row, "limit", json_object_new_int64(view->rate.limit));
        json_add_decimal(row, "window_seconds", (double)view->rate.window_ms / 1000);
        json_add_decimal(row, "factor", view->factor);
        json_object_object_add(row, "asking", json_object_new_boolean(view->blocked > 0));
        json_object_object_add(row, "next_step_seconds",
                               json_object_new_int64(seconds_until(lines->table, view->next_ns)));
    }
    json_object_object_add(
        row, "paused_seconds",
        json_object_new_int64(view->paused ? seconds_until(lines->table, view->until_ns) : 0));
    if (view->connections_limited)
        json_add_number(row, "max_connections", view->connections);
    json_add_time(row, "since", view->began_ms);
    json_object_object_add(row, "why", json_object_new_string(view->said));
    json_object_array_add(lines->list, row);
}

struct json_object *slow_words_json(const struct config *config, struct rate_table *table,
                                    const struct config_tpsp *tpsp)
{
    struct lines lines = {.table = table, .tpsp = tpsp, .list = json_object_new_array()};

    each(config, table, tpsp, object, &lines);
    return lines.list;
}
