#include "policy/limit_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/xalloc.h"

bool limit_words_suspend(const char *reason)
{
    return strstr(reason, LIMIT_WORDS_SUSPENDED) != NULL;
}

bool limit_words_alone(const char *reason)
{
    return strstr(reason, LIMIT_WORDS_ALONE) != NULL;
}

bool limit_words_defer(const char *reason)
{
    static const char *const words[] = {LIMIT_WORDS_LIMIT,     LIMIT_WORDS_PAUSED, LIMIT_WORDS_CONNECTIONS,
                                        LIMIT_WORDS_RECIPIENT, LIMIT_WORDS_AWAY,   LIMIT_WORDS_GATHERING};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(reason, words[i]) != NULL)
            return true;
    return false;
}

const char *limit_words_full(const struct rate_limit *limit)
{
    return limit->lanes == limit->rate.limit ? "reached" : "spread";
}

/* "16 used this hour, " */
static char *used_words(const struct limit_now *now)
{
    static const struct {
        int64_t window_ms;
        const char *text;
    } windows[] = {{60000, "this minute"}, {3600000, "this hour"}, {86400000, "in 24 hours"}};
    int64_t window_ms = now->limit->rate.window_ms;

    if (now->used < 0)
        return xstrdup("");
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        if (windows[i].window_ms == window_ms)
            return xasprintf("%" PRId64 " used %s, ", now->used, windows[i].text);
    return xasprintf("%" PRId64 " used in %" PRId64 " s, ", now->used, window_ms / 1000);
}

static char *wait_words(int64_t seconds)
{
    return seconds < 120    ? xasprintf("%" PRId64 " s", seconds)
           : seconds < 7200 ? xasprintf("%" PRId64 " min", seconds / 60)
                            : xasprintf("%" PRId64 " h", seconds / 3600);
}

char *limit_words(const struct limit_now *now)
{
    char rate[RATE_TEXT_SIZE];
    AUTO_FREE char *used = used_words(now);
    bool reached = now->used >= 0 && now->used >= now->limit->rate.limit;

    rate_text(&now->limit->rate, rate);
    if (now->available > 0)
        return xasprintf("%s: %s%u%s at once", rate, used, now->available, now->used > 0 ? " more" : "");
    if (now->next_s < 0)
        return xasprintf("%s: %snot known who may send now", rate, used);
    AUTO_FREE char *wait = wait_words(now->next_s);
    return xasprintf("%s: %s%s, next slot in %s", rate, used,
                     reached ? "reached" : limit_words_full(now->limit), wait);
}
