#include "policy/slow_down_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "policy/limit_words.h"
#include "policy/slow_down_answers.h"
#include "policy/warm_up.h"

#define MS_NS INT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)
#define SAID_WORDS 15 /* of an entry "said", behind the first, that hold text */

_Static_assert(SLOW_DOWN_SAID_SIZE == SAID_WORDS * 8 + 1, "what is said fills its words");
_Static_assert(SAID_WORDS < RATE_KEPT_TIMES, "text is no time");

/* --- entries -------------------------------------------------------------------------------------------- */

const char *slow_down_scope(const char *provider)
{
    return provider != NULL ? provider : "all";
}

static struct rate_entry *entry_of(const struct slow_down *slow_down, const char *prefix, int64_t window_ns,
                                   const char *provider, bool make)
{
    char kind[RATE_LABEL_SIZE];
    struct outcome ignored;
    struct rate_key key;

    snprintf(kind, sizeof kind, "%s %s", prefix, slow_down_scope(provider));
    rate_key_set(&key, slow_down->tpsp->name, kind, window_ns);
    if (!rate_table_ready(slow_down->table, rate_table_now(slow_down->table), &ignored))
        return NULL;
    return make ? rate_table_obtain(slow_down->table, &key, &ignored)
                : rate_table_find(slow_down->table, &key);
}

struct rate_entry *slow_down_entry(const struct slow_down *slow_down, const char *provider, bool make)
{
    return entry_of(slow_down, "slow-down", RATE_WINDOW_SLOWED, provider, make);
}

struct slow_down_law slow_down_law_for(const struct config *config, const struct rate_slowed *slowed)
{
    const struct config_rate *floor = &config->slow_down.floor;

    return (struct slow_down_law){.recovery_ns = config->slow_down.recovery_ms * MS_NS,
                                  .floor = slow_down_rate(floor->limit, floor->window_ms * MS_NS),
                                  .whole = slowed->whole};
}

static bool find_law(const struct slow_down *slow_down, const char *provider, struct slow_down_law *law_r)
{
    struct outcome ignored;
    struct rate_set set;

    if (!rate_set_init(&set, slow_down->tpsp, slow_down->provider, 1, &ignored))
        return false;
    *law_r = slow_down_law_for(slow_down->config, &set.slowed[provider != NULL]);
    return true;
}

/* --- for people ------------------------------------------------------------------------------------------
 */

/* Per hour, or per day where that is less than ten an hour. */
static struct config_rate readable(int64_t rate)
{
    const int64_t hours = SLOW_DOWN_RATE_DAYS * 24;
    bool by_day = rate / hours < 10;
    int64_t limit =
        by_day ? (rate + SLOW_DOWN_RATE_DAYS / 2) / SLOW_DOWN_RATE_DAYS : (rate + hours / 2) / hours;

    return (struct config_rate){.limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX,
                                .window_ms = by_day ? 86400000 : 3600000};
}

void slow_down_say(const struct slow_down *slow_down, const char *provider, const char *why)
{
    struct rate_entry *entry = entry_of(slow_down, "said", RATE_WINDOW_KEPT, provider, true);
    char text[SAID_WORDS * 8] = "";

    if (entry == NULL)
        return;
    memccpy(text, why, '\0', sizeof text);
    for (size_t i = 0; i < SAID_WORDS; i++) {
        int64_t word;
        memcpy(&word, text + i * 8, 8);
        atomic_store(&entry->words[1 + i], word);
    }
    atomic_store(&entry->words[0], 1);
}

void slow_down_said(const struct slow_down *slow_down, const char *provider, char said_r[SLOW_DOWN_SAID_SIZE])
{
    const struct rate_entry *entry = entry_of(slow_down, "said", RATE_WINDOW_KEPT, provider, false);

    memset(said_r, 0, SLOW_DOWN_SAID_SIZE);
    for (size_t i = 0; entry != NULL && i < SAID_WORDS; i++) {
        int64_t word = atomic_load(&entry->words[1 + i]);
        memcpy(said_r + i * 8, &word, 8);
    }
}

static void tell(const struct slow_down *slow_down, const char *provider, enum slow_down_step step,
                 const struct slow_down_state *before, const struct slow_down_state *now, const char *why)
{
    struct config_rate rate = readable(now->rate),
                       was = readable(before->rate > 0 ? before->rate : now->refused);
    char text[RATE_TEXT_SIZE], old[RATE_TEXT_SIZE];

    if (step == SLOW_DOWN_SLOWER)
        log_line(LOG_WARNING, "tpsp=%s, provider=%s: slowed down from %s to %s (%s)", slow_down->tpsp->name,
                 slow_down_scope(provider), rate_text(&was, old), rate_text(&rate, text), why);
    else if (step == SLOW_DOWN_BLOCKED && before->blocked == 0)
        log_line(LOG_WARNING,
                 "tpsp=%s, provider=%s: nothing is accepted at %s; one message at a time asks (%s)",
                 slow_down->tpsp->name, slow_down_scope(provider), rate_text(&rate, text), why);
}

/* --- down --------------------------------------------------------------------------------------------------
 */

bool slow_down_is_slowed(const struct slow_down *slow_down, const char *provider)
{
    const struct rate_entry *entry = slow_down_entry(slow_down, provider, false);

    return entry != NULL && atomic_load(&entry->words[SLOW_DOWN_STATE]) != 0;
}

void slow_down_step_down(const struct slow_down *slow_down, const char *provider, uint32_t factor_ppm,
                         const char *why)
{
    struct rate_entry *entry = slow_down_entry(slow_down, provider, true);
    int64_t window_ns = slow_down->config->slow_down.statistics.window_ms * MS_NS;
    struct slow_down_state before, after;
    enum slow_down_step step;
    struct slow_down_law law;

    if (entry == NULL || !find_law(slow_down, provider, &law))
        return;
    int64_t measured =
        slow_down_measured(slow_down->table, slow_down->tpsp->name, slow_down_scope(provider), window_ns);
    if (slow_down->config->cluster.server_count > 0)
        measured = slow_down_of_all_hosts(slow_down->table, slow_down->config->cluster.name, measured);
    int64_t word = atomic_load(&entry->words[SLOW_DOWN_STATE]);
    do {
        int64_t now = rate_table_now(slow_down->table);
        after = slow_down_unpack(word, now);
        slow_down_tend(&law, &after, now);
        before = after;
        step = slow_down_refused(&law, &after, now, measured, factor_ppm);
    } while (step != SLOW_DOWN_NOTHING &&
             !atomic_compare_exchange_weak(&entry->words[SLOW_DOWN_STATE], &word, slow_down_pack(&after)));
    if (step == SLOW_DOWN_NOTHING)
        return;
    rate_table_kept_changed(slow_down->table);
    if (before.rate == 0) {
        atomic_store(&entry->words[SLOW_DOWN_BASE], after.refused);
        atomic_store(&entry->words[SLOW_DOWN_BEGAN_MS], clock_realtime_ms());
    }
    slow_down_say(slow_down, provider, why);
    tell(slow_down, provider, step, &before, &after, why);
}

/* --- statistics --------------------------------------------------------------------------------------------
 */

static void look_at_statistics(const struct slow_down *slow_down, const char *provider)
{
    const struct config_slow_down *config = &slow_down->config->slow_down;
    const struct rate_entry *entry = slow_down_entry(slow_down, provider, false);
    int64_t window_ns = config->statistics.window_ms * MS_NS, since = 0;
    char why[SLOW_DOWN_SAID_SIZE];

    if (entry != NULL && atomic_load(&entry->words[SLOW_DOWN_STATE]) != 0)
        since =
            slow_down_unpack(atomic_load(&entry->words[SLOW_DOWN_STATE]), rate_table_now(slow_down->table))
                .changed_ns;
    struct slow_down_counts counts = slow_down_counted(slow_down->table, slow_down->tpsp->name,
                                                       slow_down_scope(provider), window_ns, since);
    if (counts.attempts == 0 || counts.attempts < config->statistics.attempts)
        return;
    bool deferred = config->statistics.deferred_ppm > 0 &&
                    counts.deferred * 1000000 >= counts.attempts * config->statistics.deferred_ppm;
    bool bounced = config->statistics.bounced_ppm > 0 &&
                   counts.bounced * 1000000 >= counts.attempts * config->statistics.bounced_ppm;
    if (!deferred && !bounced)
        return;
    warm_up_hold(slow_down->table, slow_down->tpsp, provider, clock_realtime_ms());
    snprintf(why, sizeof why, "statistics: %" PRIu64 " of %" PRIu64 " %s",
             deferred ? counts.deferred : counts.bounced, counts.attempts, deferred ? "deferred" : "bounced");
    slow_down_step_down(slow_down, provider, 0, why);
}

static void note_accepted(const struct slow_down *slow_down, const char *provider)
{
    struct rate_entry *entry = slow_down_entry(slow_down, provider, false);
    struct slow_down_state state;

    int64_t word = entry != NULL ? atomic_load(&entry->words[SLOW_DOWN_STATE]) : 0;
    while (word != 0) {
        state = slow_down_unpack(word, rate_table_now(slow_down->table));
        if (!slow_down_accepted(&state) ||
            atomic_compare_exchange_weak(&entry->words[SLOW_DOWN_STATE], &word, slow_down_pack(&state)))
            return;
    }
}

void slow_down_note(const struct slow_down *slow_down, enum slow_down_answer answer, bool attempt,
                    const char *recipient)
{
    const char *name = slow_down->tpsp->name, *domain = recipient != NULL ? address_domain(recipient) : NULL;
    const struct slow_down_counts counts = {.attempts = attempt,
                                            .deferred = answer == SLOW_DOWN_DEFERRED,
                                            .bounced = answer == SLOW_DOWN_BOUNCED};
    const char *const providers[] = {NULL, provider_category_name(slow_down->provider)};

    for (size_t i = 0; i < 2 && answer == SLOW_DOWN_ACCEPTED; i++)
        warm_up_accepted(slow_down->table, slow_down->tpsp, providers[i], clock_realtime_ms());
    if (!slow_down->config->slow_down.enabled)
        return;
    for (size_t i = 0; i < 2; i++) {
        slow_down_count(slow_down->table, name, slow_down_scope(providers[i]),
                        slow_down->config->slow_down.statistics.window_ms * MS_NS, counts);
        if (answer == SLOW_DOWN_ACCEPTED)
            note_accepted(slow_down, providers[i]);
        else if (answer != SLOW_DOWN_ANSWERED)
            look_at_statistics(slow_down, providers[i]);
    }
    if (answer == SLOW_DOWN_ACCEPTED && domain != NULL)
        slow_down_note_domain(slow_down->table, name, domain);
}

/* --- before a decision -------------------------------------------------------------------------------------
 */

/* The state as it is now, with the steps up that are due. rate 0: nothing is slowed down. */
static struct slow_down_state tended(struct rate_entry *entry, const struct slow_down_law *law, int64_t now)
{
    int64_t word = atomic_load(&entry->words[SLOW_DOWN_STATE]);

    for (;;) {
        struct slow_down_state state = slow_down_unpack(word, now);
        if (slow_down_tend(law, &state, now) == SLOW_DOWN_NOTHING ||
            atomic_compare_exchange_weak(&entry->words[SLOW_DOWN_STATE], &word, slow_down_pack(&state)))
            return state;
    }
}

static void add_slowed(struct rate_set *set, const struct rate_slowed *slowed,
                       const struct slow_down_law *law, const struct slow_down_state *state)
{
    set->limits[set->count++] = (struct rate_limit){.key = slowed->key,
                                                    .rate = readable(state->rate),
                                                    .kind = "slow-down",
                                                    .provider = slowed->provider,
                                                    .lanes = 1,
                                                    .first_word = SLOW_DOWN_LANE,
                                                    .pace_ns = slow_down_interval(law, state),
                                                    .entry = slowed->entry,
                                                    .generation = slowed->generation};
}

static bool is_paused(const struct rate_entry *entry, int64_t now, int64_t *until_r)
{
    int64_t until = atomic_load(&entry->words[SLOW_DOWN_PAUSED_UNTIL]);

    if (until <= now || until > now + SLOW_DOWN_PAUSE_MAX_NS)
        return false;
    *until_r = until;
    return true;
}

static bool find_slowed(struct rate_table *table, struct rate_slowed *slowed)
{
    if (slowed->entry == NULL || slowed->generation != rate_table_generation(table) ||
        atomic_load_explicit(&slowed->entry->hash, memory_order_relaxed) != slowed->key.hash) {
        slowed->entry = rate_table_find(table, &slowed->key);
        slowed->generation = rate_table_generation(table);
    }
    return slowed->entry != NULL;
}

static bool apply_one(const struct config *config, struct rate_table *table, struct rate_set *set,
                      struct rate_slowed *slowed, int64_t *until_r, struct outcome *why_r)
{
    int64_t now = rate_table_now(table);
    struct slow_down_law law = slow_down_law_for(config, slowed);
    struct outcome ignored;

    /* the file is in use, also while nothing passes; another one says anew what is slowed down */
    if (!rate_table_ready(table, now, &ignored) || !find_slowed(table, slowed))
        return true;
    struct slow_down_state state = tended(slowed->entry, &law, now);
    if (state.rate > 0)
        add_slowed(set, slowed, &law, &state);
    if (!is_paused(slowed->entry, now, until_r))
        return true;
    outcome_set(why_r, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                "TPSP %s%s%s%s" LIMIT_WORDS_PAUSED "%" PRId64 " s more", set->tpsp,
                slowed->provider ? " (provider " : "", slowed->provider ? slowed->provider : "",
                slowed->provider ? ")" : "", (*until_r - now + SECOND_NS - 1) / SECOND_NS);
    return false;
}

bool slow_down_apply(const struct config *config, struct rate_table *table, struct rate_set *set,
                     int64_t *until_r, struct outcome *why_r)
{
    uint64_t stamp = rate_table_kept_stamp(table);
    bool quiet = true;

    /* on the way of every message: as long as nothing is slowed down, a load or two and no clock */
    set->count = set->configured;
    if (!config->slow_down.enabled || stamp == 0 || stamp == set->quiet)
        return true;
    for (size_t i = 0; i < RATE_SET_SLOWED; i++) {
        struct rate_slowed *slowed = &set->slowed[i];
        if (!find_slowed(table, slowed) ||
            (atomic_load_explicit(&slowed->entry->words[SLOW_DOWN_STATE], memory_order_relaxed) == 0 &&
             atomic_load_explicit(&slowed->entry->words[SLOW_DOWN_PAUSED_UNTIL], memory_order_relaxed) == 0))
            continue;
        quiet = false;
        if (!apply_one(config, table, set, slowed, until_r, why_r))
            return false;
    }
    set->quiet = quiet ? stamp : 0;
    return true;
}

/* --- looking
 * ------------------------------------------------------------------------------------------------ */

unsigned slow_down_connections(const struct slow_down *slow_down)
{
    const struct rate_entry *entry = slow_down_entry(slow_down, NULL, false);
    int64_t now = rate_table_now(slow_down->table);

    if (entry == NULL)
        return 0;
    int64_t until = atomic_load(&entry->words[SLOW_DOWN_CONNECTIONS_UNTIL]);
    int64_t number = atomic_load(&entry->words[SLOW_DOWN_CONNECTIONS]);
    return until > now && until <= now + SLOW_DOWN_PAUSE_MAX_NS && number > 0 && number <= 10000
               ? (unsigned)number
               : 0;
}

bool slow_down_look(const struct slow_down *slow_down, bool of_provider, struct slow_down_view *view_r)
{
    const char *provider = of_provider ? provider_category_name(slow_down->provider) : NULL;
    struct rate_entry *entry = slow_down_entry(slow_down, provider, false);
    int64_t now = rate_table_now(slow_down->table);
    struct slow_down_law law;

    *view_r = (struct slow_down_view){.factor = 1};
    if (entry == NULL || !slow_down->config->slow_down.enabled || !find_law(slow_down, provider, &law))
        return false;
    struct slow_down_state state = tended(entry, &law, now);
    int64_t base = law.whole > 0 ? law.whole : atomic_load(&entry->words[SLOW_DOWN_BASE]);
    view_r->slowed = state.rate > 0;
    if (view_r->slowed) {
        view_r->rate = readable(state.rate);
        view_r->refused = readable(state.refused);
        view_r->factor = base > 0 && state.rate < base ? (double)state.rate / (double)base : 1;
        view_r->blocked = state.blocked;
        view_r->next_ns = slow_down_next_ns(&law, &state);
    }
    view_r->began_ms = atomic_load(&entry->words[SLOW_DOWN_BEGAN_MS]);
    view_r->paused = is_paused(entry, now, &view_r->until_ns);
    view_r->connections = of_provider ? 0 : slow_down_connections(slow_down);
    view_r->connections_limited = view_r->connections > 0;
    slow_down_said(slow_down, provider, view_r->said);
    return view_r->slowed || view_r->paused || view_r->connections_limited;
}
