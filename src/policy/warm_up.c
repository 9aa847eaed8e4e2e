#include "policy/warm_up.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define DAY_MS (86400 * INT64_C(1000))
#define DAY_NS (DAY_MS * INT64_C(1000000))

/* The first word of an entry: the date, in days since 1970, above; the day of the plan; whether something was
 * accepted today, whether the day does not count, and whether the end was said. 0: nothing yet. */
#define ACCEPTED INT64_C(1)
#define HELD INT64_C(2)
#define SAID INT64_C(4)
#define INDEX_AT 8
#define INDEX_MAX 0xffff
#define DATE_AT 32

/* The second: until when somebody is about to say that the plan is over. Who is killed there leaves it to the
 * next. */
#define SAYING 1
#define SAYING_NS (10 * INT64_C(1000000000))

static const struct config_plan *plan_of(const struct config_tpsp *tpsp, const char *provider)
{
    enum provider_category category;

    if (provider == NULL)
        return &tpsp->warm_up.plan;
    return provider_category_by_name(provider, &category) ? &tpsp->warm_up.providers[category] : NULL;
}

static struct rate_entry *entry_of(struct rate_table *table, const char *tpsp, const char *provider)
{
    char kind[RATE_LABEL_SIZE];
    struct outcome ignored;
    struct rate_key key;

    snprintf(kind, sizeof kind, "warmed up %s", provider != NULL ? provider : "all");
    rate_key_set(&key, tpsp, kind, RATE_WINDOW_KEPT);
    return rate_table_ready(table, rate_table_now(table), &ignored) ? rate_table_obtain(table, &key, &ignored)
                                                                    : NULL;
}

static size_t index_of(int64_t word)
{
    return (size_t)(word >> INDEX_AT & INDEX_MAX);
}

/* The word as it is today. */
static int64_t brought_forward(int64_t word, int64_t now_ms)
{
    int64_t today = now_ms / DAY_MS, date = word >> DATE_AT;
    size_t index = index_of(word);

    if (word == 0)
        return today << DATE_AT;
    if (date == today || date == today + 1) /* it is tomorrow where the clock went back at midnight */
        return word;
    /* the clock was ahead when that was written: the plan must not stand still until then */
    if (date > today)
        return today << DATE_AT | (int64_t)index << INDEX_AT | (word & (HELD | SAID));
    if ((word & ACCEPTED) != 0 && (word & HELD) == 0 && index < INDEX_MAX)
        index++;
    return today << DATE_AT | (int64_t)index << INDEX_AT | (word & SAID);
}

/* Once, whoever comes first; again only where he was killed between saying it and noting that it is said. */
static void say_over(const struct rate_table *table, struct rate_entry *entry, const char *tpsp,
                     const char *provider, size_t days)
{
    int64_t now = rate_table_now(table), until = atomic_load(&entry->words[SAYING]);
    bool another = until > now && until <= now + SAYING_NS;

    if (another || !atomic_compare_exchange_strong(&entry->words[SAYING], &until, now + SAYING_NS) ||
        (atomic_load(&entry->words[0]) & SAID) != 0)
        return;
    log_line(LOG_WARNING, "tpsp=%s, provider=%s: warm-up is over after %zu days; warm-up may be removed",
             tpsp, provider != NULL ? provider : "all", days);
    atomic_fetch_or(&entry->words[0], SAID);
}

/* With these marks. *word_r is what holds now. The end is said where mail goes, not to who looks. */
static bool update(struct rate_table *table, const struct config_tpsp *tpsp, const char *provider,
                   int64_t marks, bool looks, int64_t now_ms, int64_t *word_r)
{
    const struct config_plan *plan = plan_of(tpsp, provider);
    int64_t after;

    if (plan == NULL || plan->count == 0 || now_ms < tpsp->warm_up.start_ms)
        return false;
    struct rate_entry *entry = entry_of(table, tpsp->name, provider);
    if (entry == NULL)
        return false;
    int64_t before = atomic_load(&entry->words[0]);
    do {
        after = brought_forward(before, now_ms);
        if (index_of(after) < plan->count)
            after = (after | marks) & ~SAID;
    } while (after != before && !atomic_compare_exchange_weak(&entry->words[0], &before, after));
    if (index_of(after) >= plan->count && (after & SAID) == 0 && !looks)
        say_over(table, entry, tpsp->name, provider, plan->count);
    *word_r = after;
    return index_of(after) < plan->count;
}

static void apply_plan(struct rate_table *table, struct rate_set *set, const char *provider, uint32_t burst,
                       bool looks, int64_t now_ms)
{
    char kind[RATE_LABEL_SIZE];
    int64_t word;

    if (!update(table, set->of, provider, 0, looks, now_ms, &word))
        return;
    uint32_t today = plan_of(set->of, provider)->days[index_of(word)];
    snprintf(kind, sizeof kind, "warm-up %s", provider != NULL ? provider : "all");
    struct rate_limit *limit =
        set->of->shadow.warm_up ? &set->shadows[set->shadow_count++] : &set->limits[set->count++];
    rate_limit_make(limit, set->tpsp, kind, "warm-up", provider,
                    &(struct config_rate){.limit = today, .window_ms = DAY_MS}, burst);
}

void warm_up_apply(struct rate_table *table, struct rate_set *set, uint32_t burst, bool looks, int64_t now_ms)
{
    set->shadow_count = set->shadow_configured;
    if (!set->of->warm_up.given)
        return;
    apply_plan(table, set, NULL, burst, looks, now_ms);
    apply_plan(table, set, set->slowed[1].provider, burst, looks, now_ms);
}

void warm_up_accepted(struct rate_table *table, const struct config_tpsp *tpsp, const char *provider,
                      int64_t now_ms)
{
    int64_t word;

    if (tpsp->warm_up.given)
        update(table, tpsp, provider, ACCEPTED, false, now_ms, &word);
}

void warm_up_hold(struct rate_table *table, const struct config_tpsp *tpsp, const char *provider,
                  int64_t now_ms)
{
    int64_t word;

    if (tpsp->warm_up.given)
        update(table, tpsp, provider, HELD, false, now_ms, &word);
}

bool warm_up_look(struct rate_table *table, const struct config_tpsp *tpsp, const char *provider,
                  int64_t now_ms, struct warm_up_view *view_r)
{
    int64_t word;

    if (!tpsp->warm_up.given || !update(table, tpsp, provider, 0, true, now_ms, &word))
        return false;
    const struct config_plan *plan = plan_of(tpsp, provider);
    *view_r = (struct warm_up_view){.day = index_of(word) + 1,
                                    .days = plan->count,
                                    .limit = plan->days[index_of(word)],
                                    .accepted = (word & ACCEPTED) != 0,
                                    .held = (word & HELD) != 0};
    return true;
}
