#include "policy/session_limit.h"

#define MS_NS INT64_C(1000000)
#define LIMIT_MAX 0xffff

enum {
    LEARNT, /* the first: as long as it is 0 the entry is nothing worth keeping */
    ENDED   /* what one session ended at, and another may confirm */
};

/* A word: the limit in the low 16 bits, above them until when it counts, in milliseconds. */
static unsigned limit_of(int64_t word, int64_t now)
{
    int64_t until = word >> 16;

    /* a time further ahead than we ever set one is damage */
    return until > now / MS_NS && until <= (now + SESSION_LIMIT_NS) / MS_NS ? (unsigned)(word & LIMIT_MAX)
                                                                            : 0;
}

static struct rate_entry *entry_for(struct rate_table *table, const char *tpsp, bool make)
{
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, tpsp, "session", 0);
    if (!rate_table_ready(table, rate_table_now(table), &ignored))
        return NULL;
    return make ? rate_table_obtain(table, &key, &ignored) : rate_table_find(table, &key);
}

unsigned session_limit_get(struct rate_table *table, const char *tpsp)
{
    struct rate_entry *entry = entry_for(table, tpsp, false);

    return entry == NULL ? 0 : limit_of(atomic_load(&entry->words[LEARNT]), rate_table_now(table));
}

void session_limit_learn(struct rate_table *table, const char *tpsp, unsigned messages,
                         enum session_limit_sign sign)
{
    struct rate_entry *entry = entry_for(table, tpsp, true);
    int64_t now = rate_table_now(table), word, next;

    if (entry == NULL || messages == 0 || messages > LIMIT_MAX)
        return;
    next = ((now + SESSION_LIMIT_NS) / MS_NS) << 16 | messages;
    if (sign == SESSION_LIMIT_ENDED && limit_of(atomic_exchange(&entry->words[ENDED], next), now) != messages)
        return;
    word = atomic_load(&entry->words[LEARNT]);
    do {
        unsigned known = limit_of(word, now);
        if (known != 0 && known <= messages)
            return;
    } while (!atomic_compare_exchange_weak(&entry->words[LEARNT], &word, next));
}
