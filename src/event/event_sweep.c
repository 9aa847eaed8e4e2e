#include "event/event_sweep.h"

#include <stdbool.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "event/event_index.h"
#include "event/event_watch.h"

#define MINUTE_MS 60000LL
#define TALLY_MS (48 * 60 * MINUTE_MS) /* a day is shown */

/* A process that only ever reports its own event sweeps once in so many runs EVENT_SWEEP_ROWS: twice what it
 * adds. */
#define SWEEP_ODDS 16
/* Once a minute, and soon again while something is left: for so long no event is reported. */
#define SWEEP_MANY_MS 100
#define SWEEP_SOON_MS 1000

/* One call after the other until that time, and others in between. True: nothing old is left. */
static bool sweep_until(struct event_sweep *sweep, struct store *store, const struct config *config,
                        int64_t until_ms)
{
    int64_t now_ms = clock_realtime_ms(), before_ms = now_ms - config->events_retention_ms;
    struct outcome error;
    bool more = true;

    while (more) {
        if (event_store_sweep(store, before_ms, &sweep->from, &error) < 0)
            break;
        more = sweep->from > 0 && clock_monotonic_ms() < until_ms;
        if (more)
            store_give_way();
    }
    if (more || !event_store_forget(store, now_ms - TALLY_MS, &error))
        /* nothing depends on it: the next sweep finds the same rows */
        log_line(LOG_WARNING, "old events are not deleted: %s", error.text);
    return sweep->from == 0;
}

static bool one_in(unsigned odds)
{
    unsigned random = 0;

    return getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random && random % odds == 0;
}

void event_sweep_sometimes(struct event_sweep *sweep, struct store *store, const struct config *config)
{
    if (one_in(SWEEP_ODDS) && !event_watch_is_kept(config->state_dir, clock_realtime_ms()))
        sweep_until(sweep, store, config, 0);
}

void event_sweep_regularly(struct event_sweep *sweep, struct store *store, const struct config *config)
{
    int64_t now_ms = clock_monotonic_ms();
    struct outcome error;

    if (now_ms < sweep->next_ms)
        return;
    bool all = sweep_until(sweep, store, config, now_ms + SWEEP_MANY_MS);
    int64_t newest = event_store_newest(store, &error);
    if (newest < 0 || !event_index_catch_up(store, clock_monotonic_ms() + SWEEP_MANY_MS, &error) ||
        !event_index_sweep(store, clock_monotonic_ms() + SWEEP_MANY_MS, &error))
        log_line(LOG_WARNING, "the index of events is behind: %s", error.text);
    else
        all = all && event_index_end(store, &error) >= newest;
    sweep->next_ms = clock_monotonic_ms() + (all ? MINUTE_MS : SWEEP_SOON_MS);
}
