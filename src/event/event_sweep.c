#include "event/event_sweep.h"

#include <stdbool.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "event/event_index.h"

#define MINUTE_MS 60000LL
#define TALLY_MS (48 * 60 * MINUTE_MS) /* a day is shown */

/* A process that only ever reports its own event sweeps once in so many runs, some EVENT_SWEEP_ROWS: more
 * than it adds. */
#define SWEEP_ODDS 200
#define SWEEP_ONE_MS 5
#define SWEEP_MANY_MS 1000 /* once a minute: more rows than a minute brings */

static void run(struct event_sweep *sweep, struct store *store, int64_t retention_ms, int64_t time_ms)
{
    int64_t before_ms = clock_realtime_ms() - retention_ms;
    int64_t until_ms = clock_monotonic_ms() + time_ms;
    struct outcome error;
    int deleted;

    do {
        deleted = event_store_sweep(store, before_ms, &sweep->from, &error);
    } while (deleted >= 0 && sweep->from > 0 && clock_monotonic_ms() < until_ms);
    if (deleted >= 0 && !event_store_forget(store, clock_realtime_ms() - TALLY_MS, &error))
        deleted = -1;
    if (deleted < 0) /* nothing depends on it: the next sweep finds the same rows */
        log_line(LOG_WARNING, "old events are not deleted: %s", error.text);
}

static bool one_in(unsigned odds)
{
    unsigned random = 0;

    return getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random && random % odds == 0;
}

void event_sweep_sometimes(struct event_sweep *sweep, struct store *store, int64_t retention_ms)
{
    if (one_in(SWEEP_ODDS))
        run(sweep, store, retention_ms, SWEEP_ONE_MS);
}

void event_sweep_regularly(struct event_sweep *sweep, struct store *store, int64_t retention_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    struct outcome error;

    if (sweep->swept_ms != 0 && now_ms - sweep->swept_ms <= MINUTE_MS)
        return;
    sweep->swept_ms = now_ms;
    run(sweep, store, retention_ms, SWEEP_MANY_MS);
    if (!event_index_catch_up(store, clock_monotonic_ms() + SWEEP_MANY_MS, &error) ||
        !event_index_sweep(store, &error))
        log_line(LOG_WARNING, "the index of events is behind: %s", error.text);
}
