/* What a rule of data/replies makes of a reply that it knows. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "policy/limit_words.h"
#include "policy/session_limit.h"
#include "policy/slow_down_answers.h"
#include "policy/slow_down_private.h"

#define MS_NS INT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)
#define SUSPICION_NS (600 * SECOND_NS)

static struct rate_entry *obtain(const struct slow_down *slow_down, const char *kind, int64_t window_ns,
                                 bool make)
{
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, slow_down->tpsp->name, kind, window_ns);
    if (!rate_table_ready(slow_down->table, rate_table_now(slow_down->table), &ignored))
        return NULL;
    return make ? rate_table_obtain(slow_down->table, &key, &ignored)
                : rate_table_find(slow_down->table, &key);
}

static bool is_live(int64_t word, int64_t now, int64_t window_ns)
{
    return word > now && word <= now + window_ns;
}

/* --- whether it is done already ------------------------------------------------------------------------- */

/* Note the time in a word that has none, or the oldest, and tell how many are noted within the window. */
static unsigned note_time(struct rate_entry *entry, int64_t now, int64_t window_ns)
{
    unsigned count = 0;
    bool noted = false;

    for (size_t i = 0; i < RATE_WORDS; i++) {
        int64_t word = atomic_load(&entry->words[i]);
        if (!noted && !is_live(word, now, window_ns))
            noted = atomic_compare_exchange_strong(&entry->words[i], &word, now + window_ns);
        count += is_live(atomic_load(&entry->words[i]), now, window_ns);
    }
    return count;
}

/* Whether the rule was heard as often as it says, this time included; then it is counted anew. */
static bool is_often_enough(const struct slow_down *slow_down, const char *provider,
                            const struct reply_action *action)
{
    int64_t now = rate_table_now(slow_down->table), window_ns = action->within_ms * MS_NS;
    char kind[96];

    if (action->after <= 1)
        return true;
    snprintf(kind, sizeof kind, "heard %s %08" PRIx32, slow_down_scope(provider),
             slow_down_hash(action->rule));
    struct rate_entry *entry = obtain(slow_down, kind, window_ns, true);
    if (entry == NULL || note_time(entry, now, window_ns) < action->after)
        return false;
    for (size_t i = 0; i < RATE_WORDS; i++)
        atomic_store(&entry->words[i], 0);
    return true;
}

/* --- whose words they are
 * ----------------------------------------------------------------------------------- */

/*
 * Words in answer to a recipient can be of his server's making. They are taken for the TPSP's when nobody
 * else was accepted of late, or when recipients in three domains were answered like that.
 */
static bool is_believed(const struct slow_down *slow_down, const struct slow_down_heard *heard)
{
    const char *domain = heard->by_recipient ? heard->recipient : address_domain(heard->recipient);
    int64_t now = rate_table_now(slow_down->table);
    unsigned domains = 0;

    if (heard->trusted)
        return true;
    if (domain == NULL)
        domain = "";
    struct rate_entry *entry =
        obtain(slow_down, heard->by_recipient ? "suspected bounces" : "suspected rates", SUSPICION_NS, true);
    if (entry == NULL)
        return false;
    /* each domain has one word, so that it counts once */
    atomic_store(&entry->words[slow_down_hash(domain) % RATE_WORDS], now + SUSPICION_NS);
    for (size_t i = 0; i < RATE_WORDS; i++)
        domains += is_live(atomic_load(&entry->words[i]), now, SUSPICION_NS);
    return domains >= SLOW_DOWN_DOMAINS ||
           (!heard->by_recipient && !slow_down_other_domain(slow_down->table, slow_down->tpsp->name, domain));
}

/* --- recipients
 * --------------------------------------------------------------------------------------------- */

/* A word is the recipient's hash above the second until which he is held. */
static void hold(const struct slow_down *slow_down, const struct slow_down_heard *heard, int64_t for_ns)
{
    struct rate_entry *entry = obtain(slow_down, "holds", 0, true);
    int64_t now = rate_table_now(slow_down->table);
    uint64_t hash = slow_down_hash(heard->recipient), until = (uint64_t)((now + for_ns) / SECOND_NS);
    size_t place = 0;
    int64_t earliest = INT64_MAX;

    if (entry == NULL)
        return;
    for (size_t i = 0; i < RATE_WORDS; i++) {
        int64_t word = atomic_load(&entry->words[i]), end = word & UINT32_MAX;
        bool same = (uint64_t)word >> 32 == hash;
        if (same || end < earliest) {
            place = i;
            earliest = end;
        }
        if (same)
            break;
    }
    atomic_store(&entry->words[place], (int64_t)(hash << 32 | (until & UINT32_MAX)));
}

bool slow_down_holds(const struct slow_down *slow_down, const char *recipient, int64_t *until_r)
{
    const struct rate_entry *entry = obtain(slow_down, "holds", 0, false);
    int64_t now_s = rate_table_now(slow_down->table) / SECOND_NS;
    uint64_t hash = slow_down_hash(recipient);

    for (size_t i = 0; entry != NULL && i < RATE_WORDS; i++) {
        int64_t word = atomic_load(&entry->words[i]), until_s = word & UINT32_MAX;
        if ((uint64_t)word >> 32 == hash && until_s > now_s &&
            until_s <= now_s + SLOW_DOWN_PAUSE_MAX_NS / SECOND_NS) {
            *until_r = until_s * SECOND_NS;
            return true;
        }
    }
    return false;
}

/* --- what is done
 * --------------------------------------------------------------------------------------------- */

static void raise_word(_Atomic int64_t *word, int64_t value)
{
    int64_t before = atomic_load(word);

    while (before < value && !atomic_compare_exchange_weak(word, &before, value))
        ;
}

static void begin_now(struct rate_entry *entry)
{
    if (atomic_load(&entry->words[SLOW_DOWN_STATE]) == 0)
        atomic_store(&entry->words[SLOW_DOWN_BEGAN_MS], clock_realtime_ms());
}

static void limit_time(const struct slow_down *slow_down, const char *provider,
                       const struct reply_action *action, const char *why)
{
    struct rate_entry *entry = slow_down_entry(slow_down, provider, true);
    int64_t until = rate_table_now(slow_down->table) + action->for_ms * MS_NS;

    if (entry == NULL)
        return;
    begin_now(entry);
    if (action->kind == REPLY_CONNECTIONS) {
        atomic_store(&entry->words[SLOW_DOWN_CONNECTIONS], (int64_t)action->number);
        raise_word(&entry->words[SLOW_DOWN_CONNECTIONS_UNTIL], until);
    } else {
        raise_word(&entry->words[SLOW_DOWN_PAUSED_UNTIL], until);
        rate_table_kept_changed(slow_down->table);
    }
    slow_down_say(slow_down, provider, why);
    log_line(LOG_WARNING, "tpsp=%s, provider=%s: %s for %" PRId64 " s (%s)", slow_down->tpsp->name,
             slow_down_scope(provider), action->kind == REPLY_PAUSE ? "paused" : "fewer connections",
             action->for_ms / 1000, why);
}

bool slow_down_is_our_own(const char *text)
{
    return strstr(text, "limit of TPSP ") != NULL || strstr(text, "paused, as it asked for") != NULL ||
           limit_words_alone(text) || limit_words_suspend(text);
}

void slow_down_hear(const struct slow_down *slow_down, const struct slow_down_heard *heard)
{
    const struct reply_action *action = heard->action;
    const char *provider = action->of_provider ? provider_category_name(slow_down->provider) : NULL;
    char why[SLOW_DOWN_SAID_SIZE];

    if (!slow_down->config->slow_down.enabled || action->kind == REPLY_NO_ACTION ||
        slow_down_is_our_own(heard->text))
        return;
    snprintf(why, sizeof why, "%s: %s", action->reason, heard->text);
    if (action->kind == REPLY_HOLD) { /* him alone, whoever says so */
        hold(slow_down, heard, action->for_ms * MS_NS);
        return;
    }
    if (!is_believed(slow_down, heard))
        return;
    /* near the limit every refusal counts; the number keeps a single one from beginning it */
    if (!(action->kind == REPLY_SLOWER && slow_down_is_slowed(slow_down, provider)) &&
        !is_often_enough(slow_down, provider, action))
        return;
    switch (action->kind) {
    case REPLY_SLOWER:
        slow_down_step_down(slow_down, provider, action->factor_ppm, why);
        break;
    case REPLY_PAUSE:
    case REPLY_CONNECTIONS:
        limit_time(slow_down, provider, action, why);
        break;
    default: /* REPLY_CLOSE */
        session_limit_learn(slow_down->table, slow_down->tpsp->name,
                            action->number > 0 ? action->number : heard->taken, SESSION_LIMIT_SAID);
    }
}

/* --- starting anew
 * ---------------------------------------------------------------------------------------------- */

static void forget(struct rate_table *table, const char *tpsp, const char *kind, int64_t window_ns)
{
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, tpsp, kind, window_ns);
    if (!rate_table_ready(table, rate_table_now(table), &ignored))
        return;
    struct rate_entry *entry = rate_table_find(table, &key);
    for (size_t i = 0; entry != NULL && i < RATE_WORDS; i++)
        atomic_store(&entry->words[i], 0);
}

void slow_down_reset(struct rate_table *table, const char *tpsp)
{
    static const struct {
        const char *kind;
        int64_t window_ns;
    } kept[] = {{"slow-down", RATE_WINDOW_SLOWED}, {"said", RATE_WINDOW_KEPT}};
    char kind[RATE_LABEL_SIZE];

    for (int provider = -1; provider < PROVIDER_COUNT; provider++) {
        const char *scope =
            slow_down_scope(provider < 0 ? NULL : provider_category_name((enum provider_category)provider));
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
            snprintf(kind, sizeof kind, "%s %s", kept[i].kind, scope);
            forget(table, tpsp, kind, kept[i].window_ns);
        }
        snprintf(kind, sizeof kind, "answers %s", scope);
        forget(table, tpsp, kind, RATE_WINDOW_SCRATCH);
    }
    forget(table, tpsp, "suspected rates", SUSPICION_NS);
    forget(table, tpsp, "suspected bounces", SUSPICION_NS);
    forget(table, tpsp, "holds", 0);
}
