#include "event/event_pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/xalloc.h"

#define CLOCK_SLACK_MS 1000 /* by which a well-kept clock may go back */

void event_pause_read(struct event_pause *pause, struct store *store, int64_t now_ms)
{
    AUTO_FREE char *value = store_get(store, pause->name);
    long long until = 0, since = 0;
    int failures = 0, length = 0;

    pause->known = value != NULL && sscanf(value, "%lld %d %lld %n", &until, &failures, &since, &length) == 3;
    if (pause->known && since > now_ms + CLOCK_SLACK_MS) /* the clock was put back */
        until = now_ms;
    pause->until_ms = pause->known ? until : 0;
    pause->failures = pause->known && failures > 0 ? failures : 0;
    snprintf(pause->why, sizeof pause->why, "%s", pause->known ? value + length : "");
}

bool event_pause_holds(const struct event_pause *pause, int64_t now_ms)
{
    return pause->known && pause->until_ms > now_ms;
}

static bool write_pause(struct event_pause *pause, struct store *store, int64_t now_ms,
                        struct outcome *error_r)
{
    AUTO_FREE char *value = xasprintf("%lld %d %lld %s", (long long)pause->until_ms, pause->failures,
                                      (long long)now_ms, pause->why);

    pause->known = true;
    return store_put(store, pause->name, value, error_r);
}

bool event_pause_claim(struct event_pause *pause, struct store *store, int64_t now_ms, int64_t lease_ms)
{
    struct outcome ignored;

    if (!store_begin(store, STORE_NORMAL, &ignored))
        return false;
    event_pause_read(pause, store, now_ms);
    bool mine = !event_pause_holds(pause, now_ms);
    if (mine && pause->known) {
        pause->until_ms = now_ms + lease_ms;
        mine = write_pause(pause, store, now_ms, &ignored);
    }
    if (!mine) {
        store_rollback(store);
        return false;
    }
    return store_commit(store, &ignored);
}

/* Between 3/4 and 5/4 of length: many machines must not come back at the same instant. */
static int64_t with_jitter(int64_t length)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        return length;
    return length * 3 / 4 + (int64_t)(random % (uint64_t)(length / 2 + 1));
}

bool event_pause_extend(struct event_pause *pause, struct store *store, int64_t now_ms, bool claimed,
                        int64_t wish_ms, const char *why, bool *begun_r, struct outcome *error_r)
{
    event_pause_read(pause, store, now_ms);
    *begun_r = claimed || !event_pause_holds(pause, now_ms);
    if (*begun_r) {
        int64_t length = pause->first_ms;
        for (int i = 0; i < pause->failures && length < pause->most_ms; i++)
            length *= 2;
        pause->until_ms = now_ms + with_jitter(length < pause->most_ms ? length : pause->most_ms);
        pause->failures++;
    }
    if (wish_ms > 0 && (*begun_r || pause->until_ms < now_ms + wish_ms))
        pause->until_ms = now_ms + wish_ms;
    snprintf(pause->why, sizeof pause->why, "%s", why);
    return write_pause(pause, store, now_ms, error_r);
}

bool event_pause_end(struct event_pause *pause, struct store *store, struct outcome *error_r)
{
    pause->known = false;
    pause->failures = 0;
    return store_put(store, pause->name, NULL, error_r);
}
