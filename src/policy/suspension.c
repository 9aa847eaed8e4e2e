#include "policy/suspension.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

#define MS_NS INT64_C(1000000)
#define COUNTABLE_MS (INT64_C(100) * 366 * 86400000) /* longer than this is open */

/* What is where in an entry. */
enum place {
    BEGAN_MS, /* 0: nothing is suspended. Written last, and first where it ends */
    UNTIL_MS,
    REASON,
    REASON_END = RATE_KEPT_TIMES,
};
#define REASON_WORDS (REASON_END - REASON)

_Static_assert(SUSPENSION_REASON_SIZE == REASON_WORDS * 8 + 1, "the reason fills its words");

/* --- entries ------------------------------------------------------------------------------------------ */

static void set_key(struct rate_key *key_r, const struct suspension_scope *scope)
{
    char kind[RATE_LABEL_SIZE];

    snprintf(kind, sizeof kind, "suspended %s",
             scope->pool != NULL       ? "pool"
             : scope->provider != NULL ? scope->provider
                                       : "all");
    rate_key_set(key_r, scope->pool != NULL ? scope->pool : scope->tpsp, kind, RATE_WINDOW_KEPT);
}

/* On the way of every message: as long as nothing was ever kept, one load. */
static struct rate_entry *find(struct rate_table *table, const struct suspension_scope *scope)
{
    struct outcome ignored;
    struct rate_key key;

    if (!rate_table_ready(table, rate_table_now(table), &ignored) || rate_table_kept_stamp(table) == 0)
        return NULL;
    set_key(&key, scope);
    return rate_table_find(table, &key);
}

/* --- words -------------------------------------------------------------------------------------------- */

char *suspension_name(const struct suspension_scope *scope, char buffer[SUSPENSION_NAME_SIZE])
{
    if (scope->pool != NULL)
        snprintf(buffer, SUSPENSION_NAME_SIZE, "pool %s", scope->pool);
    else if (scope->provider != NULL)
        snprintf(buffer, SUSPENSION_NAME_SIZE, "TPSP %s (provider %s)", scope->tpsp, scope->provider);
    else
        snprintf(buffer, SUSPENSION_NAME_SIZE, "TPSP %s", scope->tpsp);
    return buffer;
}

char *suspension_text(const struct suspension *suspension, char buffer[SUSPENSION_TEXT_SIZE])
{
    time_t seconds = (time_t)(suspension->until_ms / 1000);
    char until[32] = "it is resumed";
    struct tm utc;

    if (suspension->until_ms != SUSPENSION_OPEN && gmtime_r(&seconds, &utc) != NULL)
        strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(buffer, SUSPENSION_TEXT_SIZE, "until %s%s%s%s", until, *suspension->reason != '\0' ? " (" : "",
             suspension->reason, *suspension->reason != '\0' ? ")" : "");
    return buffer;
}

/* --- beginning and end -------------------------------------------------------------------------------- */

static void write_reason(struct rate_entry *entry, const char *reason)
{
    char text[REASON_WORDS * 8] = "";

    memccpy(text, reason, '\0', sizeof text);
    for (size_t i = 0; i < REASON_WORDS; i++) {
        int64_t word;
        memcpy(&word, text + i * 8, 8);
        atomic_store(&entry->words[REASON + i], word);
    }
}

bool suspension_begin(struct rate_table *table, const struct suspension_scope *scope,
                      const struct suspension *suspension, struct outcome *error_r)
{
    char name[SUSPENSION_NAME_SIZE], text[SUSPENSION_TEXT_SIZE];
    struct rate_key key;

    set_key(&key, scope);
    do {
        if (!rate_table_ready(table, rate_table_now(table), error_r))
            return false;
        struct rate_entry *entry = rate_table_obtain(table, &key, error_r);
        if (entry == NULL)
            return false;
        write_reason(entry, suspension->reason);
        atomic_store(&entry->words[UNTIL_MS], suspension->until_ms);
        atomic_store(&entry->words[BEGAN_MS], suspension->began_ms);
        if (!rate_table_holds(table, entry, &key))
            continue; /* the file was replaced, or the place given to another */
        if (!rate_table_flush(table, error_r))
            return false;
        log_line(LOG_NOTICE, "%s is suspended %s", suspension_name(scope, name),
                 suspension_text(suspension, text));
        return true;
    } while (true);
}

static bool clear(struct rate_entry *entry, int64_t began_ms)
{
    return atomic_compare_exchange_strong(&entry->words[BEGAN_MS], &began_ms, 0);
}

bool suspension_end(struct rate_table *table, const struct suspension_scope *scope)
{
    struct rate_entry *entry = find(table, scope);
    char name[SUSPENSION_NAME_SIZE];
    struct outcome ignored;

    int64_t began_ms = entry == NULL ? 0 : atomic_load(&entry->words[BEGAN_MS]);
    if (began_ms == 0 || !clear(entry, began_ms))
        return false;
    rate_table_flush(table, &ignored); /* what the disk has still ends at its time */
    log_line(LOG_NOTICE, "%s is resumed", suspension_name(scope, name));
    return true;
}

/* --- looking ------------------------------------------------------------------------------------------ */

bool suspension_look(struct rate_table *table, const struct suspension_scope *scope, int64_t now_ms,
                     struct suspension *suspension_r)
{
    struct rate_entry *entry = find(table, scope);
    char name[SUSPENSION_NAME_SIZE];

    *suspension_r = (struct suspension){0};
    if (entry == NULL || (suspension_r->began_ms = atomic_load(&entry->words[BEGAN_MS])) == 0)
        return false;
    suspension_r->until_ms = atomic_load(&entry->words[UNTIL_MS]);
    for (size_t i = 0; i < REASON_WORDS; i++) {
        int64_t word = atomic_load(&entry->words[REASON + i]);
        memcpy(suspension_r->reason + i * 8, &word, 8);
    }
    if (now_ms < suspension_r->until_ms)
        return true;
    if (clear(entry, suspension_r->began_ms))
        log_line(LOG_NOTICE, "%s is resumed: the time of its suspension is over",
                 suspension_name(scope, name));
    return false;
}

bool suspension_bars(struct rate_table *table, const struct suspension_scope *scope, int64_t now_ms,
                     int64_t *until_r, struct outcome *why_r)
{
    char name[SUSPENSION_NAME_SIZE], text[SUSPENSION_TEXT_SIZE];
    struct suspension suspension;

    if (!suspension_look(table, scope, now_ms, &suspension))
        return false;
    bool open = suspension.until_ms == SUSPENSION_OPEN || suspension.until_ms - now_ms > COUNTABLE_MS;
    *until_r = open ? INT64_MAX : rate_table_now(table) + (suspension.until_ms - now_ms) * MS_NS;
    /* LIMIT_WORDS_SUSPENDED: the text begins with "until" */
    outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1", "%s is suspended %s",
                suspension_name(scope, name), suspension_text(&suspension, text));
    return true;
}

static void see_one(struct rate_table *table, const struct suspension_scope *scope, int64_t now_ms,
                    void (*see)(void *context, const struct suspension_scope *scope,
                                const struct suspension *suspension),
                    void *context)
{
    struct suspension suspension;

    if (suspension_look(table, scope, now_ms, &suspension))
        see(context, scope, &suspension);
}

void suspension_each(const struct config *config, struct rate_table *table, int64_t now_ms,
                     void (*see)(void *context, const struct suspension_scope *scope,
                                 const struct suspension *suspension),
                     void *context)
{
    for (size_t i = 0; i < config->tpsp_count; i++) {
        struct suspension_scope scope = {.tpsp = config->tpsps[i].name};
        see_one(table, &scope, now_ms, see, context);
        for (int provider = 0; provider < PROVIDER_COUNT; provider++) {
            scope.provider = provider_category_name((enum provider_category)provider);
            see_one(table, &scope, now_ms, see, context);
        }
    }
    for (size_t i = 0; i < config->pool_count; i++)
        see_one(table, &(struct suspension_scope){.pool = config->pools[i].name}, now_ms, see, context);
}
