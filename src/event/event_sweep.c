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

/* So long does Postfix keep a message (maximal_queue_lifetime): that it was accepted, or dropped, is known as
 * long. */
#define PROOF_MS (5 * 24 * 60 * MINUTE_MS)

/* Some rows. What is kept as proof is passed once, and not at each sweep: from its end on, what is not kept
 * so long is looked for, and from the very first row what is older than both. -1: not at all; 1: more is
 * left. */
static int sweep_some(struct event_sweep *sweep, struct store *store, int64_t now_ms, int64_t retention_ms,
                      struct outcome *error_r)
{
    int64_t before_ms = now_ms - retention_ms, proof_ms = now_ms - PROOF_MS, young = sweep->young;
    bool shorter = before_ms > proof_ms;

    if (!shorter)
        proof_ms = before_ms;
    if (event_store_sweep(store, proof_ms, proof_ms, &sweep->from, error_r) < 0 ||
        (shorter && event_store_sweep(store, before_ms, proof_ms, &young, error_r) < 0))
        return -1;
    if (shorter && young > 0)
        sweep->young = young;
    return sweep->from > 0 || (shorter && young > 0) ? 1 : 0;
}

/* One call after the other until that time, and others in between. True: nothing old is left. */
static bool sweep_until(struct event_sweep *sweep, struct store *store, const struct config *config,
                        int64_t until_ms)
{
    int64_t now_ms = clock_realtime_ms();
    struct outcome error;
    int left;

    while ((left = sweep_some(sweep, store, now_ms, config->events_retention_ms, &error)) > 0 &&
           clock_monotonic_ms() < until_ms)
        store_give_way();
    if (left < 0 || !event_store_forget(store, now_ms - TALLY_MS, &error))
        /* nothing depends on it: the next sweep finds the same rows */
        log_line(LOG_WARNING, "old events are not deleted: %s", error.text);
    return left == 0;
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
