#include "policy/shadow.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"

#define SECOND_NS INT64_C(1000000000)

static struct rate_entry *count_of(struct rate_table *table, const char *tpsp, const struct rate_limit *limit,
                                   bool make)
{
    char kind[RATE_LABEL_SIZE];
    struct outcome ignored;
    struct rate_key key;

    snprintf(kind, sizeof kind, "shadowed %.16s %" PRId64, limit->kind, limit->rate.window_ms);
    rate_key_set(&key, tpsp, kind, RATE_WINDOW_KEPT);
    if (!rate_table_ready(table, rate_table_now(table), &ignored))
        return NULL;
    return make ? rate_table_obtain(table, &key, &ignored) : rate_table_find(table, &key);
}

static void defer(struct rate_table *table, const char *tpsp, const struct rate_limit *limit, int64_t next)
{
    struct rate_entry *entry = count_of(table, tpsp, limit, true);
    char text[RATE_TEXT_SIZE];

    if (entry != NULL)
        atomic_fetch_add(&entry->words[0], 1);
    log_line(LOG_INFO,
             "tpsp=%s, provider=%s: %s is in shadow, and would have deferred this message for %" PRId64 " s",
             tpsp, limit->provider != NULL ? limit->provider : "all", rate_text(&limit->rate, text),
             (next - rate_table_now(table) + SECOND_NS - 1) / SECOND_NS);
}

void shadow_take(struct rate_table *table, struct rate_set *set)
{
    for (size_t i = 0; i < set->shadow_count; i++) {
        struct rate_set one = {.tpsp = set->tpsp, .limits = {set->shadows[i]}, .count = 1, .configured = 1};
        const struct rate_limit *limit;
        struct rate_grant grant;
        struct outcome error;
        int64_t next;

        if (rate_limit_take(table, &one, &grant, &limit, &next, &error) == RATE_REFUSED)
            defer(table, set->tpsp, limit, next);
    }
}

uint64_t shadow_deferred(struct rate_table *table, const char *tpsp, const struct rate_limit *limit)
{
    const struct rate_entry *entry = count_of(table, tpsp, limit, false);

    return entry != NULL ? (uint64_t)atomic_load(&entry->words[0]) : 0;
}

void shadow_reset(struct rate_table *table, const struct rate_set *set)
{
    for (size_t i = 0; i < set->shadow_count; i++) {
        struct rate_limit limit = set->shadows[i];
        struct rate_entry *entry = count_of(table, set->tpsp, &limit, false);
        if (entry != NULL)
            atomic_store(&entry->words[0], 0);
        rate_limit_reset(table, &limit);
    }
}
