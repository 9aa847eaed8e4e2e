#include "policy/breaker.h"

#include <ctype.h>

#define MS_NS INT64_C(1000000)

static unsigned failures_of(int64_t word)
{
    return (unsigned)(word & BREAKER_FAILURES_MAX);
}

int64_t breaker_pack(int64_t until_ns, unsigned failures)
{
    return (until_ns / MS_NS) << 16 | (failures > BREAKER_FAILURES_MAX ? BREAKER_FAILURES_MAX : failures);
}

static int64_t pause_after(unsigned failures)
{
    int64_t pause = BREAKER_FIRST_NS;

    for (unsigned i = BREAKER_THRESHOLD; i < failures && pause < BREAKER_LONGEST_NS; i++)
        pause *= 2;
    return pause < BREAKER_LONGEST_NS ? pause : BREAKER_LONGEST_NS;
}

static int64_t try_time(unsigned failures)
{
    int64_t pause = pause_after(failures);

    return pause > BREAKER_TRY_NS ? pause : BREAKER_TRY_NS;
}

static void set_key(struct rate_key *key_r, const char *tpsp)
{
    rate_key_set(key_r, tpsp, "breaker", 0);
}

static struct rate_entry *find(struct rate_table *table, const char *tpsp)
{
    struct outcome ignored;
    struct rate_key key;

    set_key(&key, tpsp);
    return rate_table_ready(table, rate_table_now(table), &ignored) ? rate_table_find(table, &key) : NULL;
}

int64_t breaker_until(int64_t word)
{
    return (word >> 16) * MS_NS;
}

struct breaker breaker_judge(int64_t word, int64_t now)
{
    struct breaker breaker = {.state = BREAKER_CLOSED, .failures = failures_of(word)};

    if (breaker.failures < BREAKER_THRESHOLD)
        return breaker;
    breaker.state = BREAKER_TRY;
    /* a time further ahead than we ever set one is damage */
    if (word >> 16 > now / MS_NS && word >> 16 <= (now + BREAKER_LONGEST_NS) / MS_NS) {
        breaker.state = BREAKER_OPEN;
        breaker.until_ns = (word >> 16) * MS_NS;
    }
    return breaker;
}

struct breaker breaker_look_own(struct rate_table *table, const char *tpsp)
{
    struct rate_entry *entry = find(table, tpsp);

    return breaker_judge(entry == NULL ? 0 : atomic_load(&entry->words[0]), rate_table_now(table));
}

const char *breaker_whose(const struct breaker *breaker)
{
    return breaker->of_all && breaker->state != BREAKER_CLOSED ? " of all hosts" : "";
}

/* Of both that are open the one that stays so for longer. */
struct breaker breaker_look(struct rate_table *table, const char *tpsp)
{
    struct breaker own = breaker_look_own(table, tpsp);
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, tpsp, BREAKER_OF_ALL, 0);
    const struct rate_entry *entry =
        rate_table_ready(table, rate_table_now(table), &ignored) ? rate_table_find(table, &key) : NULL;
    if (entry == NULL)
        return own;
    struct breaker all = breaker_judge(atomic_load(&entry->words[0]), rate_table_now(table));
    all.of_all = true;
    return all.state > own.state || (all.state == own.state && all.until_ns > own.until_ns) ? all : own;
}

struct breaker breaker_ask(struct rate_table *table, const char *tpsp)
{
    struct rate_entry *entry = find(table, tpsp);
    int64_t now = rate_table_now(table);
    int64_t word = entry == NULL ? 0 : atomic_load(&entry->words[0]);

    for (;;) {
        struct breaker breaker = breaker_judge(word, now);
        if (breaker.state != BREAKER_TRY)
            return breaker;
        /* who swaps first is the one; the word is read again by the others */
        if (atomic_compare_exchange_strong(&entry->words[0], &word, breaker_claimed(word, now)))
            return breaker;
    }
}

int64_t breaker_failed(int64_t word, enum breaker_state state, bool at_once, int64_t now)
{
    unsigned failures = failures_of(word);

    if (failures >= BREAKER_THRESHOLD && state != BREAKER_TRY)
        return word; /* begun before it opened: the one who tries will tell */
    failures = at_once && failures < BREAKER_THRESHOLD ? BREAKER_THRESHOLD : failures + 1;
    return breaker_pack(failures >= BREAKER_THRESHOLD ? now + pause_after(failures) : 0, failures);
}

int64_t breaker_claimed(int64_t word, int64_t now)
{
    return breaker_pack(now + try_time(failures_of(word)), failures_of(word));
}

int64_t breaker_released(int64_t word, int64_t now)
{
    return failures_of(word) >= BREAKER_THRESHOLD ? breaker_pack(now, failures_of(word)) : word;
}

/* --- suspicion ------------------------------------------------------------------------------------ */

static struct rate_entry *suspicion_of(struct rate_table *table, const char *tpsp, bool make)
{
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, tpsp, "suspicion", 0);
    if (!rate_table_ready(table, rate_table_now(table), &ignored))
        return NULL;
    return make ? rate_table_obtain(table, &key, &ignored) : rate_table_find(table, &key);
}

static void forget_suspicion(struct rate_table *table, const char *tpsp)
{
    struct rate_entry *entry = suspicion_of(table, tpsp, false);

    if (entry == NULL)
        return;
    atomic_store(&entry->words[1], 0);
    atomic_store(&entry->words[0], 0);
}

/* Never 0. FNV-1a, without regard to case. */
static int64_t hash_of(const char *domain)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *domain != '\0'; domain++)
        hash = (hash ^ (unsigned char)tolower((unsigned char)*domain)) * UINT64_C(1099511628211);
    return (int64_t)(hash | 1);
}

bool breaker_suspect(struct rate_table *table, const char *tpsp, const char *domain)
{
    struct rate_entry *entry = suspicion_of(table, tpsp, true);
    int64_t hash = hash_of(domain);

    for (size_t i = 0; entry != NULL && i < 2; i++) {
        int64_t nobody = 0;
        if (atomic_compare_exchange_strong(&entry->words[i], &nobody, hash) || nobody == hash)
            return false; /* the first, the second, or one of them again */
    }
    forget_suspicion(table, tpsp);
    return entry != NULL;
}

void breaker_report(struct rate_table *table, const char *tpsp, enum breaker_state state,
                    enum breaker_result result)
{
    struct rate_entry *entry = find(table, tpsp);
    int64_t now = rate_table_now(table);
    struct outcome ignored;
    struct rate_key key;

    if (result == BREAKER_WORKS)
        forget_suspicion(table, tpsp);
    if (entry == NULL && (result == BREAKER_FAILS || result == BREAKER_REFUSES)) {
        set_key(&key, tpsp);
        entry = rate_table_obtain(table, &key, &ignored);
    }
    if (entry == NULL)
        return;
    int64_t word = atomic_load(&entry->words[0]), next;
    do {
        if (result == BREAKER_WORKS)
            next = 0;
        else if (result == BREAKER_FAILS || result == BREAKER_REFUSES)
            next = breaker_failed(word, state, result == BREAKER_REFUSES, now);
        else
            next = state == BREAKER_TRY ? breaker_released(word, now) : word;
    } while (next != word && !atomic_compare_exchange_weak(&entry->words[0], &word, next));
}

void breaker_reset(struct rate_table *table, const char *tpsp)
{
    breaker_report(table, tpsp, BREAKER_CLOSED, BREAKER_WORKS);
}
