/* What `sendpostctl status` shows, out of the store and of what all processes share. */
#include <string.h>

#include "base/xalloc.h"
#include "ctl/slow_words.h"
#include "ctl/status_private.h"
#include "policy/connections.h"

static void count_events(void *context, const char *name, enum event_cs cs, uint64_t count, uint64_t recent)
{
    struct status *status = context;
    size_t tpsp = 0;

    while (tpsp < status->config->tpsp_count && strcmp(status->config->tpsps[tpsp].name, name) != 0)
        tpsp++;
    struct tally *tally = &status->tallies[tpsp];
    if (cs == CS_DELIVERED || cs == CS_SENT) {
        tally->accepted += count;
        tally->last_hour += recent;
    } else {
        *(cs == CS_DEFERRED ? &tally->deferred : &tally->dropped) += count;
    }
}

static bool count_waiting(struct status *status, struct store *store, struct outcome *error)
{
    sqlite3_stmt *statement =
        store_statement(store, "SELECT count(*), ifnull(min(due_ms), 0) FROM deliveries", error);

    if (statement == NULL || store_step(store, statement, error) < 0)
        return false;
    status->waiting = sqlite3_column_int64(statement, 0);
    status->next_ms = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    return true;
}

static void note_held(void *context, const struct config_tpsp *tpsp, const struct standing *standing,
                      int64_t messages)
{
    struct status *status = context;

    status->held[status->held_count++] = (struct held){tpsp, *standing, messages};
    status->ok = false;
}

static bool read_store(struct status *status)
{
    int64_t since_ms = status->now_ms - 24 * HOUR_MS;
    struct store *store = ctl_store(status->ctl);
    struct outcome error;
    int failures = 0;

    if (store == NULL)
        return false;
    if (!event_store_tally(store, since_ms, status->now_ms - HOUR_MS, count_events, status, &error) ||
        (failures = event_store_failures(store, since_ms, ERRORS, status->errors, &error)) < 0 ||
        !event_store_count(store, EVENT_PENDING, &status->pending, &error) ||
        !event_store_count(store, EVENT_REJECTED, &status->rejected, &error) ||
        !count_waiting(status, store, &error) ||
        !standing_each_held(store, status->config, note_held, status, &error)) {
        ctl_fail(status->ctl, "%s", error.text);
        return false;
    }
    status->error_count = (size_t)failures;
    status->leftovers = store_leftovers(status->config->state_dir);
    status->ok = status->ok && status->leftovers.count == 0 && !status->leftovers.unfinished;
    status->no_bounces = store_get_number(store, "bounce.ignored");
    status->nobodys_bounces = store_get_number(store, "bounce.unattributed");
    status->unbelieved_bounces = store_get_number(store, "bounce.unbelieved");
    return true;
}

static void note_slowed(void *context, const char *line)
{
    struct slowed *slowed = context;

    slowed->lines = xrealloc(slowed->lines, (slowed->count + 1) * sizeof slowed->lines[0]);
    slowed->lines[slowed->count++] = xstrdup(line);
}

static void read_slowed(struct status *status, struct rate_table *table)
{
    status->slowed.json = json_object_new_object();
    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &status->config->tpsps[i];
        slow_words_each(status->config, table, tpsp, note_slowed, &status->slowed);
        json_object_object_add(status->slowed.json, tpsp->name, slow_words_json(status->config, table, tpsp));
    }
}

static bool read_breakers(struct status *status)
{
    struct rate_table *table;
    struct outcome error;

    bool ok = rate_table_open(&table, status->config->state_dir, &rate_clock_system, &error);
    if (!ok) {
        ctl_fail(status->ctl, "%s", error.text);
        return false;
    }
    for (size_t i = 0; i < status->config->tpsp_count; i++) {
        status->breakers[i] = breaker_look(table, status->config->tpsps[i].name);
        /* from the table's clock to a duration */
        if (status->breakers[i].state == BREAKER_OPEN)
            status->breakers[i].until_ns -= rate_table_now(table);
        status->ok = status->ok && status->breakers[i].state == BREAKER_CLOSED;
    }
    read_slowed(status, table);
    rate_table_close(table);
    struct connections_desk *leases = connections_open(status->config);
    for (size_t i = 0; i < status->config->tpsp_count; i++)
        status->connections[i] = connections_count(leases, &status->config->tpsps[i]);
    connections_close(leases);
    return true;
}

bool status_read(struct status *status)
{
    return read_store(status) && read_breakers(status);
}
