#include "policy/rate_limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policy/limit_words.h"
#include "policy/slow_down_law.h"

#define MS_NS INT64_C(1000000)

/* --- the limits of a delivery ---------------------------------------------------------------- */

_Static_assert(RATE_BURST_MAX == RATE_WORDS, "a lane of a limit is a word of its entry");

static void set_lanes(struct rate_limit *limit, uint32_t burst)
{
    int64_t window = limit->rate.window_ms * MS_NS;

    limit->lanes = burst < 1 ? 1 : burst > RATE_BURST_MAX ? RATE_BURST_MAX : burst;
    if (limit->lanes > limit->rate.limit)
        limit->lanes = limit->rate.limit;
    int64_t paced = (int64_t)limit->rate.limit - limit->lanes + 1;
    limit->pace_ns = window / paced + (window % paced != 0);
}

static void set_limit(struct rate_limit *limit_r, const char *tpsp, const char *kind, const char *provider,
                      const struct config_rate *rate, uint32_t burst)
{
    memset(limit_r, 0, sizeof *limit_r);
    rate_key_set(&limit_r->key, tpsp, kind, rate->window_ms * MS_NS);
    limit_r->rate = *rate;
    limit_r->kind = kind;
    limit_r->provider = provider;
    set_lanes(limit_r, burst);
}

void rate_limit_make(struct rate_limit *limit_r, const char *tpsp, const char *name, const char *kind,
                     const char *provider, const struct config_rate *rate, uint32_t burst)
{
    set_limit(limit_r, tpsp, name, provider, rate, burst);
    limit_r->kind = kind;
}

/* The limits of a set that hold, or those in shadow, in *count of their places. */
static bool add_to(struct rate_limit *limits, size_t *count, const char *tpsp, const struct rate_limit *limit,
                   struct outcome *error_r)
{
    for (size_t i = 0; i < *count; i++)
        if (limits[i].key.hash == limit->key.hash) { /* taken twice it would count twice */
            if (limit->rate.limit < limits[i].rate.limit)
                limits[i] = *limit;
            return true;
        }
    if (*count == RATE_SET_CONFIGURED) {
        outcome_local(error_r, "4.3.5",
                      "TPSP %s has more than %d rate limits for one message: remove some of its rates", tpsp,
                      RATE_SET_CONFIGURED);
        return false;
    }
    limits[(*count)++] = *limit;
    return true;
}

static bool add_limit(struct rate_set *set, const char *kind, const char *provider,
                      const struct config_rate *rate, uint32_t burst, bool shadow, struct outcome *error_r)
{
    struct rate_limit limit;
    char shadow_kind[RATE_LABEL_SIZE];

    if (rate->limit == 0)
        return true;
    set_limit(&limit, set->tpsp, kind, provider, rate, burst);
    if (!shadow)
        return add_to(set->limits, &set->count, set->tpsp, &limit, error_r);
    snprintf(shadow_kind, sizeof shadow_kind, "shadow %s", kind);
    rate_key_set(&limit.key, set->tpsp, shadow_kind, limit.key.window_ns);
    return add_to(set->shadows, &set->shadow_count, set->tpsp, &limit, error_r);
}

/* What may be slowed down, and what whole is: the tightest of the limits that are for it alone. */
static void set_slowed(struct rate_set *set, struct rate_slowed *slowed, const char *provider)
{
    char kind[RATE_LABEL_SIZE];

    snprintf(kind, sizeof kind, "slow-down %s", provider != NULL ? provider : "all");
    rate_key_set(&slowed->key, set->tpsp, kind, RATE_WINDOW_SLOWED);
    slowed->provider = provider;
    slowed->whole = 0;
    slowed->entry = NULL;
    slowed->generation = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct rate_limit *limit = &set->limits[i];
        int64_t rate = slow_down_rate(limit->rate.limit, limit->key.window_ns);
        if ((provider != NULL || limit->provider == NULL) && (slowed->whole == 0 || rate < slowed->whole))
            slowed->whole = rate;
    }
}

bool rate_set_init(struct rate_set *set_r, const struct config_tpsp *tpsp, enum provider_category provider,
                   uint32_t burst, struct outcome *error_r)
{
    const char *name = provider_category_name(provider);

    set_r->tpsp = tpsp->name;
    set_r->of = tpsp;
    set_r->quiet = 0;
    set_r->count = set_r->configured = set_r->shadow_count = 0;
    if (!add_limit(set_r, "global", NULL, &tpsp->global_rate, burst, tpsp->shadow.global, error_r))
        return false;
    for (size_t i = 0; i < tpsp->rate_count; i++)
        if (!add_limit(set_r, "rate", NULL, &tpsp->rates[i], burst, tpsp->shadow.rates, error_r))
            return false;
    if (!add_limit(set_r, name, name, &tpsp->provider_rates[provider], burst,
                   tpsp->shadow.providers[provider], error_r))
        return false;
    set_r->configured = set_r->count;
    set_r->shadow_configured = set_r->shadow_count;
    set_slowed(set_r, &set_r->slowed[0], NULL);
    set_slowed(set_r, &set_r->slowed[1], name);
    return true;
}

char *rate_limit_kind(const struct rate_limit *limit, char buffer[RATE_KIND_SIZE])
{
    if (strcmp(limit->kind, "warm-up") == 0)
        snprintf(buffer, RATE_KIND_SIZE, "warm-up %s", limit->provider != NULL ? limit->provider : "all");
    else
        snprintf(buffer, RATE_KIND_SIZE, "%s", limit->kind);
    return buffer;
}

bool rate_set_share(struct rate_set *set, uint32_t share_ppm)
{
    for (size_t i = 0; i < set->count; i++) {
        struct rate_limit *limit = &set->limits[i];
        char kind[RATE_LABEL_SIZE], of[RATE_KIND_SIZE];

        if (rate_limit_is_slowed(limit))
            continue; /* it is this host's own already */
        limit->rate.limit = (uint32_t)((uint64_t)limit->rate.limit * share_ppm / 1000000);
        if (limit->rate.limit == 0)
            return false;
        snprintf(kind, sizeof kind, "share %s", rate_limit_kind(limit, of));
        rate_key_set(&limit->key, set->tpsp, kind, limit->key.window_ns);
        limit->entry = NULL;
        set_lanes(limit, limit->lanes);
    }
    return true;
}

/* --- lanes ----------------------------------------------------------------------------------- */

static int64_t interval_of(const struct rate_limit *limit, unsigned lane)
{
    return lane == 0 ? limit->pace_ns : limit->key.window_ns;
}

/*
 * A word that no taker could have written up to now. The clock is read after the word: else a word written
 * between our reading of the clock and of the word would be cut short.
 */
static int64_t tame(const struct rate_table *table, _Atomic int64_t *word, int64_t interval)
{
    int64_t value = atomic_load(word);
    int64_t latest = rate_table_now(table) + interval;

    while (value > latest)
        if (atomic_compare_exchange_weak(word, &value, latest))
            return latest;
    return value;
}

static int64_t lane_word(const struct rate_table *table, const struct rate_limit *limit, unsigned lane,
                         int64_t now)
{
    _Atomic int64_t *word = &limit->entry->words[limit->first_word + lane];
    int64_t value = atomic_load(word);

    return value > now + interval_of(limit, lane) ? tame(table, word, interval_of(limit, lane)) : value;
}

/* A free lane and its word; otherwise the time of the next. Lane 0 first: the burst is kept for when it is
 * needed. */
static bool find_lane(const struct rate_table *table, const struct rate_limit *limit, int64_t now,
                      unsigned *lane_r, int64_t *word_r)
{
    int64_t next = INT64_MAX;

    for (unsigned lane = 0; lane < limit->lanes; lane++) {
        int64_t word = lane_word(table, limit, lane, now);
        if (word <= now) {
            *lane_r = lane;
            *word_r = word;
            return true;
        }
        if (word < next)
            next = word;
    }
    *word_r = next;
    return false;
}

static bool find_entry(struct rate_table *table, struct rate_limit *limit, struct outcome *error_r)
{
    if (limit->entry == NULL || limit->generation != rate_table_generation(table) ||
        atomic_load(&limit->entry->hash) != limit->key.hash) {
        limit->entry = rate_table_obtain(table, &limit->key, error_r);
        limit->generation = rate_table_generation(table);
    }
    return limit->entry != NULL;
}

/* --- taking and giving back ------------------------------------------------------------------ */

static void put_back(struct rate_grant *grant)
{
    while (grant->count > 0) {
        grant->count--;
        int64_t expected = grant->taken[grant->count].after;
        atomic_compare_exchange_strong(grant->taken[grant->count].word, &expected,
                                       grant->taken[grant->count].before);
    }
}

void rate_limit_give_back(const struct rate_table *table, struct rate_grant *grant)
{
    if (grant->generation == rate_table_generation(table))
        put_back(grant);
    grant->count = 0;
}

/* The refusal, if any, that lasts longest: RATE_REFUSED, or RATE_GRANTED when all have a lane free. */
static enum rate_answer look(struct rate_table *table, struct rate_set *set, int64_t now,
                             unsigned lanes_r[RATE_SET_MAX], int64_t words_r[RATE_SET_MAX],
                             const struct rate_limit **limit_r, int64_t *next_r, struct outcome *error_r)
{
    enum rate_answer answer = RATE_GRANTED;

    for (size_t i = 0; i < set->count; i++) {
        if (!find_entry(table, &set->limits[i], error_r))
            return RATE_TROUBLE;
        if (find_lane(table, &set->limits[i], now, &lanes_r[i], &words_r[i]))
            continue;
        if (answer == RATE_GRANTED || words_r[i] > *next_r) {
            *limit_r = &set->limits[i];
            *next_r = words_r[i];
        }
        answer = RATE_REFUSED;
    }
    return answer;
}

/* Swap what look() has found. False, with all put back, when somebody was faster. */
static bool swap_all(const struct rate_set *set, int64_t now, const unsigned lanes[RATE_SET_MAX],
                     const int64_t words[RATE_SET_MAX], struct rate_grant *grant)
{
    for (size_t i = 0; i < set->count; i++) {
        _Atomic int64_t *word = &set->limits[i].entry->words[set->limits[i].first_word + lanes[i]];
        int64_t expected = words[i], after = now + interval_of(&set->limits[i], lanes[i]);
        if (!atomic_compare_exchange_strong(word, &expected, after)) {
            put_back(grant);
            return false;
        }
        grant->taken[i].word = word;
        grant->taken[i].before = words[i];
        grant->taken[i].after = after;
        grant->count = i + 1;
    }
    return true;
}

/* What a power cut must not take back (see rate_file.h), and whether it all counts. */
static bool confirm(const struct rate_table *table, const struct rate_set *set,
                    const unsigned lanes[RATE_SET_MAX])
{
    for (size_t i = 0; i < set->count; i++)
        if (interval_of(&set->limits[i], lanes[i]) >= RATE_SYNC_NS)
            rate_table_sync(set->limits[i].entry);
    for (size_t i = 0; i < set->count; i++)
        if (!rate_table_holds(table, set->limits[i].entry, &set->limits[i].key))
            return false;
    return true;
}

enum rate_answer rate_limit_take(struct rate_table *table, struct rate_set *set, struct rate_grant *grant_r,
                                 const struct rate_limit **limit_r, int64_t *next_r, struct outcome *error_r)
{
    unsigned lanes[RATE_SET_MAX];
    int64_t words[RATE_SET_MAX];

    for (;;) { /* again only when another process took something, or the file was replaced */
        int64_t now = rate_table_now(table);
        grant_r->time_ns = now;
        grant_r->count = 0;
        if (!rate_table_ready(table, now, error_r))
            return RATE_TROUBLE;
        grant_r->generation = rate_table_generation(table);
        enum rate_answer answer = look(table, set, now, lanes, words, limit_r, next_r, error_r);
        if (answer != RATE_GRANTED && !rate_table_intact(table))
            continue; /* what says no is no longer the file to ask */
        if (answer != RATE_GRANTED)
            return answer;
        if (!swap_all(set, now, lanes, words, grant_r))
            continue;
        if (confirm(table, set, lanes))
            return RATE_GRANTED;
        put_back(grant_r);
    }
}

/* --- for people ------------------------------------------------------------------------------ */

char *rate_text(const struct config_rate *rate, char buffer[RATE_TEXT_SIZE])
{
    static const struct {
        int64_t window_ms;
        char letter;
    } units[] = {{1000, 's'}, {60000, 'm'}, {3600000, 'h'}, {86400000, 'd'}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].window_ms == rate->window_ms) {
            snprintf(buffer, RATE_TEXT_SIZE, "%" PRIu32 "/%c", rate->limit, units[i].letter);
            return buffer;
        }
    snprintf(buffer, RATE_TEXT_SIZE, "%" PRIu32 " in %g s", rate->limit, (double)rate->window_ms / 1000);
    return buffer;
}

void rate_limit_explain(const char *tpsp, const struct rate_limit *limit, int64_t wait_ns,
                        struct outcome *outcome_r)
{
    char text[RATE_TEXT_SIZE];
    int64_t seconds = wait_ns <= 0 ? 1 : (wait_ns + 1000 * MS_NS - 1) / (1000 * MS_NS);

    outcome_set(outcome_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                LIMIT_WORDS_LIMIT "%s: %s%s%s%s%s, %s, next slot in %" PRId64 " s", tpsp,
                rate_text(&limit->rate, text),
                strcmp(limit->kind, "slow-down") == 0 ? ", slowed down"
                : strcmp(limit->kind, "warm-up") == 0 ? ", warm-up"
                                                      : "",
                limit->provider ? " (provider " : "", limit->provider ? limit->provider : "",
                limit->provider ? ")" : "", limit_words_full(limit), seconds);
}

unsigned rate_limit_peek(struct rate_table *table, struct rate_limit *limit, int64_t *next_r)
{
    int64_t now = rate_table_now(table);
    unsigned available = 0;

    *next_r = now;
    limit->entry = rate_table_find(table, &limit->key);
    limit->generation = rate_table_generation(table);
    if (limit->entry == NULL)
        return limit->lanes; /* never used */
    *next_r = INT64_MAX;
    for (unsigned lane = 0; lane < limit->lanes; lane++) {
        int64_t word = lane_word(table, limit, lane, now);
        available += word <= now;
        if (word < *next_r)
            *next_r = word < now ? now : word;
    }
    return available;
}

void rate_limit_reset(struct rate_table *table, struct rate_limit *limit)
{
    limit->entry = rate_table_find(table, &limit->key);
    limit->generation = rate_table_generation(table);
    for (size_t i = 0; limit->entry != NULL && i < RATE_WORDS; i++)
        atomic_store(&limit->entry->words[i], 0);
}
