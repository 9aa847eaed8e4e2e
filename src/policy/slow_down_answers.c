#include "policy/slow_down_answers.h"

#include <ctype.h>
#include <stdio.h>

#include "policy/slow_down_law.h"

#define BUCKETS 10
#define SECOND_NS INT64_C(1000000000)
#define DOMAINS_NS (600 * SECOND_NS)
#define ATTEMPTS_OF_A_PART 10 /* fewer say nothing about a part of the window */

/* An entry: when this busy time began, and the last attempt; of each bucket two words; two domains. */
enum { BEGAN, LAST, FIRST_BUCKET, DOMAINS = FIRST_BUCKET + 2 * BUCKETS };

_Static_assert(DOMAINS + 2 <= RATE_WORDS, "all in one entry");

/* Of a bucket's first word: its number above, attempts below. Of its second: 16 bits of the number, 24 each.
 */
#define ATTEMPTS_BITS 32
#define FIELD_BITS 24
#define FIELD_MAX ((UINT64_C(1) << FIELD_BITS) - 1)

static struct rate_entry *entry_of(struct rate_table *table, const char *tpsp, const char *scope, bool make)
{
    char kind[RATE_LABEL_SIZE];
    struct outcome ignored;
    struct rate_key key;

    snprintf(kind, sizeof kind, "answers %s", scope);
    rate_key_set(&key, tpsp, kind, RATE_WINDOW_SCRATCH);
    if (!rate_table_ready(table, rate_table_now(table), &ignored))
        return NULL;
    return make ? rate_table_obtain(table, &key, &ignored) : rate_table_find(table, &key);
}

/* --- counting ------------------------------------------------------------------------------------------ */

/* Add to a word whose top bits, from shift on, must be tag; another tag is of an earlier time, and 0. */
static void add(_Atomic int64_t *word, unsigned shift, uint64_t tag, uint64_t more)
{
    int64_t value = atomic_load(word), next;

    do
        next = (int64_t)(((uint64_t)value >> shift == tag ? (uint64_t)value : tag << shift) + more);
    while (!atomic_compare_exchange_weak(word, &value, next));
}

static uint64_t number_of(int64_t now, int64_t window_ns)
{
    return (uint64_t)(now / (window_ns / BUCKETS)) + 1;
}

void slow_down_count(struct rate_table *table, const char *tpsp, const char *scope, int64_t window_ns,
                     struct slow_down_counts counts)
{
    struct rate_entry *entry = entry_of(table, tpsp, scope, true);
    int64_t now = rate_table_now(table);

    if (entry == NULL)
        return;
    uint64_t number = number_of(now, window_ns);
    _Atomic int64_t *bucket = &entry->words[FIRST_BUCKET + number % BUCKETS * 2];
    if (counts.attempts > 0) {
        int64_t last = atomic_load(&entry->words[LAST]);
        if (last <= now - window_ns || last > now)
            atomic_store(&entry->words[BEGAN], now);
        atomic_store(&entry->words[LAST], now);
        add(&bucket[0], ATTEMPTS_BITS, number & 0x7fffffff, counts.attempts);
    }
    if (counts.deferred > 0 || counts.bounced > 0)
        add(&bucket[1], 2 * FIELD_BITS, number & 0x7fff, counts.deferred << FIELD_BITS | counts.bounced);
}

static struct slow_down_counts bucket_counts(const struct rate_entry *entry, uint64_t number)
{
    const _Atomic int64_t *bucket = &entry->words[FIRST_BUCKET + number % BUCKETS * 2];
    uint64_t first = (uint64_t)atomic_load(&bucket[0]), second = (uint64_t)atomic_load(&bucket[1]);
    struct slow_down_counts counts = {0};

    if (first >> ATTEMPTS_BITS == (number & 0x7fffffff))
        counts.attempts = first & UINT32_MAX;
    if (second >> 2 * FIELD_BITS == (number & 0x7fff)) {
        counts.deferred = second >> FIELD_BITS & FIELD_MAX;
        counts.bounced = second & FIELD_MAX;
    }
    return counts;
}

struct slow_down_counts slow_down_counted(struct rate_table *table, const char *tpsp, const char *scope,
                                          int64_t window_ns, int64_t since_ns)
{
    const struct rate_entry *entry = entry_of(table, tpsp, scope, false);
    uint64_t last = number_of(rate_table_now(table), window_ns);
    struct slow_down_counts sum = {0};

    for (uint64_t number = last; entry != NULL && number > 0 && last - number < BUCKETS; number--) {
        if ((int64_t)(number - 1) * (window_ns / BUCKETS) < since_ns)
            break; /* it may hold what was before */
        struct slow_down_counts counts = bucket_counts(entry, number);
        sum.attempts += counts.attempts;
        sum.deferred += counts.deferred;
        sum.bounced += counts.bounced;
    }
    return sum;
}

int64_t slow_down_measured(struct rate_table *table, const char *tpsp, const char *scope, int64_t window_ns)
{
    const struct rate_entry *entry = entry_of(table, tpsp, scope, false);
    int64_t now = rate_table_now(table), fastest = 0;
    uint64_t last = number_of(now, window_ns), attempts = 0;

    if (entry == NULL)
        return 0;
    int64_t began = atomic_load(&entry->words[BEGAN]);
    for (uint64_t number = last; number > 0 && last - number < BUCKETS; number--) {
        int64_t from = (int64_t)(number - 1) * (window_ns / BUCKETS);
        bool whole = last - number == BUCKETS - 1 || from <= began;
        attempts += bucket_counts(entry, number).attempts;
        if (from < began && began <= now)
            from = began;
        if (attempts == 0 || (attempts < ATTEMPTS_OF_A_PART && !whole))
            continue;
        int64_t span = now - from > SECOND_NS ? now - from : SECOND_NS;
        int64_t rate = slow_down_rate((double)attempts, span);
        if (rate > fastest)
            fastest = rate;
        if (whole)
            break;
    }
    return fastest;
}

/* --- of all hosts -------------------------------------------------------------------------------------- */

#define HOSTS_NS (60 * SECOND_NS)

enum { HOSTS_PPM, HOSTS_UNTIL };

static struct rate_entry *hosts_entry(struct rate_table *table, const char *cluster, bool make)
{
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, cluster, "sent by all", RATE_WINDOW_SCRATCH);
    if (!rate_table_ready(table, rate_table_now(table), &ignored))
        return NULL;
    return make ? rate_table_obtain(table, &key, &ignored) : rate_table_find(table, &key);
}

void slow_down_note_hosts(struct rate_table *table, const char *cluster, int64_t all_per_own_ppm)
{
    struct rate_entry *entry = hosts_entry(table, cluster, true);

    if (entry == NULL)
        return;
    atomic_store(&entry->words[HOSTS_PPM], all_per_own_ppm);
    atomic_store(&entry->words[HOSTS_UNTIL], rate_table_now(table) + HOSTS_NS);
}

int64_t slow_down_of_all_hosts(struct rate_table *table, const char *cluster, int64_t rate)
{
    const struct rate_entry *entry = hosts_entry(table, cluster, false);
    int64_t now = rate_table_now(table);

    if (entry == NULL)
        return rate;
    int64_t ppm = atomic_load(&entry->words[HOSTS_PPM]), until = atomic_load(&entry->words[HOSTS_UNTIL]);
    if (ppm < 1000000 || until <= now || until > now + HOSTS_NS)
        return rate;
    __int128 all = (__int128)rate * ppm / 1000000;
    return all < SLOW_DOWN_RATE_MAX ? (int64_t)all : SLOW_DOWN_RATE_MAX;
}

/* --- domains ------------------------------------------------------------------------------------------- */

uint32_t slow_down_hash(const char *text)
{
    uint32_t hash = UINT32_C(2166136261);

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)tolower((unsigned char)*text)) * UINT32_C(16777619);
    return hash | 1;
}

/* Hash above, the time in seconds below. */
static int64_t domain_word(const char *domain, int64_t now)
{
    return (int64_t)((uint64_t)slow_down_hash(domain) << 32 | (uint64_t)(now / SECOND_NS & UINT32_MAX));
}

static bool is_of(int64_t word, const char *domain)
{
    return (uint64_t)word >> 32 == slow_down_hash(domain);
}

void slow_down_note_domain(struct rate_table *table, const char *tpsp, const char *domain)
{
    struct rate_entry *entry = entry_of(table, tpsp, "all", true);
    int64_t now = rate_table_now(table);

    if (entry == NULL)
        return;
    int64_t latest = atomic_load(&entry->words[DOMAINS]), word = domain_word(domain, now);
    if (latest == word)
        return;
    if (!is_of(latest, domain))
        atomic_store(&entry->words[DOMAINS + 1], latest);
    atomic_store(&entry->words[DOMAINS], word);
}

bool slow_down_other_domain(struct rate_table *table, const char *tpsp, const char *domain)
{
    const struct rate_entry *entry = entry_of(table, tpsp, "all", false);
    int64_t now_s = rate_table_now(table) / SECOND_NS;

    for (size_t i = 0; entry != NULL && i < 2; i++) {
        int64_t word = atomic_load(&entry->words[DOMAINS + i]), ago = now_s - (word & UINT32_MAX);
        if (word != 0 && !is_of(word, domain) && ago >= 0 && ago <= DOMAINS_NS / SECOND_NS)
            return true;
    }
    return false;
}
