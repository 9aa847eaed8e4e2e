#include "event/event_clock.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

#define AHEAD "clock.ahead_s"
#define BEHIND "clock.behind_s"

static bool put(struct store *store, int64_t apart_s)
{
    char ahead[24], behind[24];
    struct outcome ignored;

    snprintf(ahead, sizeof ahead, "%lld", (long long)(apart_s > 0 ? apart_s : 0));
    snprintf(behind, sizeof behind, "%lld", (long long)(apart_s < 0 ? -apart_s : 0));
    if (store_begin(store, STORE_NORMAL, &ignored) && store_put(store, AHEAD, ahead, &ignored) &&
        store_put(store, BEHIND, behind, &ignored) && store_commit(store, &ignored))
        return true;
    store_rollback(store);
    return false;
}

void event_clock_note(struct store *store, int64_t date_s, enum event_clock *known)
{
    int64_t apart_s = clock_realtime_ms() / 1000 - date_s;
    bool wrong = apart_s > CLOCK_APART_S || apart_s < -CLOCK_APART_S;
    enum event_clock now = wrong ? EVENT_CLOCK_WRONG : EVENT_CLOCK_RIGHT;

    if (*known == EVENT_CLOCK_UNKNOWN)
        *known = event_clock_apart_s(store) != 0 ? EVENT_CLOCK_WRONG : EVENT_CLOCK_RIGHT;
    if (*known == now || !put(store, wrong ? apart_s : 0))
        return;
    *known = now;
    if (wrong)
        log_line(LOG_ERR, EVENT_CLOCK_REMEDY, (long long)(apart_s < 0 ? -apart_s : apart_s),
                 apart_s < 0 ? "behind" : "ahead of");
}

int64_t event_clock_apart_s(struct store *store)
{
    return (int64_t)store_get_number(store, AHEAD) - (int64_t)store_get_number(store, BEHIND);
}
