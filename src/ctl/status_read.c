/* What `sendpostctl status` shows, out of the store, of what all processes share, and of Postfix's queue. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/gate.h"
#include "ctl/limits.h"
#include "ctl/slow_words.h"
#include "ctl/status_private.h"
#include "ctl/suspend_words.h"
#include "policy/counters.h"

#define QUEUE_MS 2000 /* of reading what Postfix says of its queue */

/* --- store -------------------------------------------------------------------------------------------- */

static struct status_tpsp *tpsp_of(struct status *status, const char *name)
{
    for (size_t i = 0; i < status->config->tpsp_count; i++)
        if (strcmp(status->config->tpsps[i].name, name) == 0)
            return &status->tpsps[i];
    return NULL;
}

static void add_count(struct status_counts *counts, enum event_cs cs, uint64_t count)
{
    switch (cs) {
    case CS_SENT:
    case CS_DELIVERED:
        counts->delivered += count;
        break;
    case CS_DEFERRED:
        counts->deferred += count;
        break;
    case CS_DROPPED:
        counts->dropped += count;
        break;
    case CS_HARD_BOUNCED:
        counts->bounced += count;
        break;
    case CS_SOFT_BOUNCED:
        counts->soft_bounced += count;
        break;
    }
}

static void count_events(void *context, const char *name, enum event_cs cs, uint64_t count, uint64_t recent)
{
    struct status *status = context;
    struct status_tpsp *tpsp = tpsp_of(status, name);

    add_count(&status->day, cs, count);
    if (tpsp == NULL)
        return;
    add_count(&tpsp->day, cs, count);
    if (cs == CS_DELIVERED || cs == CS_SENT)
        tpsp->last_hour += recent;
}

static bool count_waiting(struct status *status, struct store *store, struct outcome *error)
{
    sqlite3_stmt *statement = store_statement(
        store, "SELECT count(*), ifnull(min(iif(held, NULL, due_ms)), 0) FROM deliveries", error);

    if (statement == NULL || store_step(store, statement, error) < 0)
        return false;
    status->waiting = sqlite3_column_int64(statement, 0);
    status->next_ms = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    return true;
}

static bool read_last_line(struct status *status, struct store *store, struct outcome *error)
{
    sqlite3_stmt *statement =
        store_statement(store, "SELECT ifnull(max(last_ms), 0) FROM log_position", error);

    if (statement == NULL || store_step(store, statement, error) < 0)
        return false;
    status->log_line_ms = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return true;
}

static void note_held(void *context, const struct config_tpsp *tpsp, const struct standing *standing,
                      int64_t messages)
{
    struct status *status = context;

    status->held[status->held_count++] = (struct held){tpsp, *standing, messages};
}

static bool read_store(struct status *status, struct store *store)
{
    int64_t since_ms = status->now_ms - DAY_MS;
    struct outcome error;
    int failures = 0;

    if (!event_store_tally(store, since_ms, status->now_ms - HOUR_MS, count_events, status, &error) ||
        (failures = event_store_failures(store, since_ms, ERRORS, status->errors, &error)) < 0 ||
        !event_store_count(store, EVENT_PENDING, &status->pending, &error) ||
        !event_store_count(store, EVENT_REJECTED, &status->rejected, &error) ||
        !count_waiting(status, store, &error) || !read_last_line(status, store, &error) ||
        !standing_each_held(store, status->config, note_held, status, &error)) {
        ctl_fail(status->ctl, "%s", error.text);
        return false;
    }
    status->error_count = (size_t)failures;
    status->leftovers = store_leftovers(status->config->state_dir);
    status->no_bounces = store_get_number(store, "bounce.ignored");
    status->nobodys_bounces = store_get_number(store, "bounce.unattributed");
    status->unbelieved_bounces = store_get_number(store, "bounce.unbelieved");
    return true;
}

/* --- limits ------------------------------------------------------------------------------------------- */

static void note_slowed(void *context, const char *line)
{
    struct status *status = context;

    status->slowed = xrealloc(status->slowed, (status->slowed_count + 1) * sizeof status->slowed[0]);
    status->slowed[status->slowed_count++] = xstrdup(line);
}

static void note_suspended(void *context, const struct suspension_scope *scope, const char *line)
{
    struct status *status = context;

    (void)scope;
    status->suspended =
        xrealloc(status->suspended, (status->suspended_count + 1) * sizeof status->suspended[0]);
    status->suspended[status->suspended_count++] = xstrdup(line);
}

static void note_limit(void *context, const struct limit_now *now)
{
    struct status_tpsp *tpsp = context;
    AUTO_FREE char *words = limit_words(now);

    tpsp->limits = xrealloc(tpsp->limits, (tpsp->limit_count + 1) * sizeof tpsp->limits[0]);
    tpsp->limits[tpsp->limit_count++] =
        now->limit->provider == NULL
            ? xasprintf("%s %s", tpsp->config->name, words)
            : xasprintf("%s to %s %s", tpsp->config->name, now->limit->provider, words);
    json_object_array_add(tpsp->limits_json, limits_json(now));
}

static bool read_tpsp(struct status *status, const struct admission_gate *gate, struct store *store,
                      struct status_tpsp *tpsp, struct outcome *error)
{
    const struct limits_request request = {.gate = gate, .store = store, .tpsp = tpsp->config};

    tpsp->breaker = limits_breaker(gate->table, tpsp->config);
    slow_words_each(status->config, gate->table, tpsp->config, note_slowed, status);
    tpsp->slow_down_json = slow_words_json(status->config, gate->table, tpsp->config);
    tpsp->limits_json = json_object_new_array();
    return limits_each(&request, note_limit, tpsp, error);
}

static void read_connections(struct status *status, const struct admission_gate *gate)
{
    struct connections_desk *leases = connections_open(status->config);

    for (size_t i = 0; i < status->config->tpsp_count; i++)
        limits_connections(gate, leases, status->tpsps[i].config, &status->tpsps[i].connections);
    connections_close(leases);
}

static bool read_limits(struct status *status, struct store *store)
{
    struct ctl_gate gate;
    struct outcome error;
    bool ok = ctl_gate_open(&gate, status->config, &error);

    if (ok) {
        suspend_words_each(status->config, gate.gate.table, note_suspended, status);
        status->suspended_json = suspend_words_json(status->config, gate.gate.table, NULL);
        for (size_t i = 0; ok && i < status->config->tpsp_count; i++)
            ok = read_tpsp(status, &gate.gate, store, &status->tpsps[i], &error);
        read_connections(status, &gate.gate);
        ctl_gate_close(&gate);
    }
    if (!ok)
        ctl_fail(status->ctl, "%s", error.text);
    return ok;
}

/* --- queue, log, disk, certificates ------------------------------------------------------------------- */

static bool read_queue(struct status *status, struct store *store)
{
    const struct run *queue = status->ctl->queue;
    struct outcome error;

    status->queue_known = queue->status == 0 || *queue->out != '\0';
    if (!status->queue_known)
        status->why_no_queue = *queue->err != '\0' ? xstrndup(queue->err, strcspn(queue->err, "\n"))
                                                   : xstrdup("there is no postqueue");
    else if (!backlog_read(&status->backlog, store, queue->out, queue->status == 0,
                           clock_monotonic_ms() + QUEUE_MS, &error)) {
        ctl_fail(status->ctl, "%s", error.text);
        return false;
    }
    return true;
}

static void note_certificate(void *context, const struct counters_series *series)
{
    struct status_tpsp *tpsp = tpsp_of(context, series->tpsp);

    if (series->kind == COUNTERS_CERTIFICATE && tpsp != NULL)
        tpsp->certificate_ms = (int64_t)atomic_load(&series->values[0]);
}

static void read_surroundings(struct status *status)
{
    struct counters *counters = counters_open(status->config->state_dir);
    struct statvfs disk;
    struct stat log;

    counters_each(counters, note_certificate, status);
    counters_close(counters);
    if (statvfs(status->config->state_dir, &disk) == 0) {
        status->disk_free = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
        status->disk_size = (int64_t)disk.f_blocks * (int64_t)disk.f_frsize;
    }
    if (strcmp(status->config->log_path, "journal") != 0 && stat(status->config->log_path, &log) == 0)
        status->log_written_ms = clock_ms(log.st_mtim);
    if (status->config->listen != NULL)
        status->agent = agent_health(status->config, &status->agent_error);
}

bool status_read(struct status *status)
{
    struct store *store = ctl_store(status->ctl);

    if (store == NULL || !read_store(status, store) || !read_limits(status, store) ||
        !read_queue(status, store))
        return false;
    read_surroundings(status);
    return true;
}
