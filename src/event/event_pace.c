#include "event/event_pace.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "event/event_watch.h"

#define PROBE_MS 3000

char *event_pace_name(const char *fingerprint)
{
    return xasprintf("report.pace.%s", fingerprint);
}

struct event_pace event_pace_parse(const char *value)
{
    long long average = 0, probe = 0;

    if (value == NULL || sscanf(value, "%lld %lld", &average, &probe) != 2)
        return (struct event_pace){0};
    return (struct event_pace){.average_ms = average, .probe_ms = probe};
}

struct event_pace event_pace_read(struct store *store, const char *fingerprint)
{
    AUTO_FREE char *name = event_pace_name(fingerprint);
    AUTO_FREE char *value = store_get(store, name);

    return event_pace_parse(value);
}

static bool write(const struct event_pace *pace, struct store *store, const char *fingerprint,
                  struct outcome *error_r)
{
    AUTO_FREE char *name = event_pace_name(fingerprint);
    AUTO_FREE char *value = xasprintf("%lld %lld", (long long)pace->average_ms, (long long)pace->probe_ms);

    return store_put(store, name, pace->average_ms > 0 ? value : NULL, error_r);
}

/* One much further away was set by a clock that has been put back since; now may be a moment old. */
static bool probe_is_due(const struct event_pace *pace, int64_t now_ms)
{
    return pace->probe_ms <= now_ms || pace->probe_ms > now_ms + 2 * PROBE_MS;
}

static bool is_slow(const struct event_pace *pace, const struct config *config)
{
    return pace->average_ms > config->report.patience_ms;
}

/* One process has the probe; with the store in trouble, nobody. */
static bool claim_probe(struct store *store, const char *fingerprint, int64_t now_ms)
{
    struct outcome ignored;

    if (!store_begin(store, STORE_NORMAL, &ignored))
        return false;
    struct event_pace pace = event_pace_read(store, fingerprint);
    bool mine = probe_is_due(&pace, now_ms);
    pace.probe_ms = now_ms + PROBE_MS;
    if (mine && write(&pace, store, fingerprint, &ignored) && store_commit(store, &ignored))
        return true;
    store_rollback(store);
    return false;
}

bool event_pace_leaves(const struct event_pace *pace, const struct config *config, struct store *store,
                       const char *fingerprint, int64_t now_ms)
{
    return is_slow(pace, config) && event_watch_is_kept(config->state_dir, now_ms) &&
           !(probe_is_due(pace, now_ms) && claim_probe(store, fingerprint, now_ms));
}

bool event_pace_expects(const struct event_pace *pace, const struct config *config, int64_t now_ms)
{
    return !is_slow(pace, config) || probe_is_due(pace, now_ms);
}

bool event_pace_learn(const struct event_pace *pace, const struct config *config, struct store *store,
                      const char *fingerprint, int64_t elapsed_ms, struct outcome *error_r)
{
    int64_t patience_ms = config->report.patience_ms, now_ms = clock_realtime_ms();
    int64_t counted_ms = elapsed_ms < 2 * patience_ms ? elapsed_ms : 2 * patience_ms;

    if (pace->average_ms == 0 && elapsed_ms <= patience_ms / 2)
        return true;
    struct event_pace now = event_pace_read(store, fingerprint);
    bool slow_before = is_slow(&now, config);
    int weight = slow_before ? 1 : 3;
    now.average_ms = (weight * now.average_ms + counted_ms) / (weight + 1);
    now.probe_ms = now_ms + PROBE_MS;
    if (now.average_ms < patience_ms / 8)
        now.average_ms = 0;
    if (!write(&now, store, fingerprint, error_r))
        return false;
    if (is_slow(&now, config) && !slow_before)
        log_line(LOG_NOTICE,
                 "event API %s takes long to answer, %.1f s last: while sendpost-agent runs, most events are "
                 "left to it (report.patience)",
                 config->endpoint, (double)elapsed_ms / 1000);
    else if (slow_before && !is_slow(&now, config))
        log_line(LOG_INFO, "event API %s answers quickly again", config->endpoint);
    return true;
}
