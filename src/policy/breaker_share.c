#include "policy/breaker_share.h"

#include <inttypes.h>
#include <string.h>

#include "policy/told.h"
#include "policy/told_text.h"

#define SUSPECT_NS BREAKER_LONGEST_NS
#define TRIES 3 /* of other news that come in between */

enum place { WORD, CHANGED, PROBER, SUSPECT, SUSPECT_UNTIL };

static struct rate_entry *entry_of(struct rate_table *table, const char *tpsp, bool make)
{
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, tpsp, BREAKER_OF_ALL, 0);
    if (!rate_table_ready(table, rate_table_now(table), &ignored))
        return NULL;
    return make ? rate_table_obtain(table, &key, &ignored) : rate_table_find(table, &key);
}

void breaker_words(struct rate_table *table, const char *tpsp, struct breaker_words *words_r)
{
    const struct rate_entry *entry = entry_of(table, tpsp, false);

    *words_r = (struct breaker_words){0};
    if (entry == NULL)
        return;
    words_r->word = atomic_load(&entry->words[WORD]);
    words_r->changed_ns = atomic_load(&entry->words[CHANGED]);
    words_r->tries = atomic_load(&entry->words[PROBER]);
    words_r->suspect = atomic_load(&entry->words[SUSPECT]);
    words_r->suspect_until_ns = atomic_load(&entry->words[SUSPECT_UNTIL]);
}

/* The word decides, by compare-and-swap; the rest is written behind it. False: somebody was faster. */
static bool put(struct rate_table *table, const char *tpsp, const struct breaker_words *before,
                struct breaker_words words)
{
    struct rate_entry *entry = entry_of(table, tpsp, true);
    int64_t expected = before->word;

    if (entry == NULL || !atomic_compare_exchange_strong(&entry->words[WORD], &expected, words.word))
        return false;
    atomic_store(&entry->words[PROBER], words.tries);
    atomic_store(&entry->words[SUSPECT], words.suspect);
    atomic_store(&entry->words[SUSPECT_UNTIL], words.suspect_until_ns);
    atomic_store(&entry->words[CHANGED], words.changed_ns);
    return true;
}

void breaker_share_reset(struct rate_table *table, const char *tpsp)
{
    struct breaker_words before;

    breaker_words(table, tpsp, &before);
    if (before.word != 0 || before.suspect != 0)
        put(table, tpsp, &before, (struct breaker_words){.changed_ns = rate_table_now(table)});
}

/* --- asking ------------------------------------------------------------------------------------------- */

/* Who tried last lets others go first. */
static struct breaker judge(const struct breaker_words *words, int64_t host, int64_t now)
{
    struct breaker breaker = breaker_judge(words->word, now);
    int64_t turn_ns = breaker_until(words->word) + BREAKER_FIRST_NS;

    breaker.of_all = true;
    if (breaker.state == BREAKER_TRY && words->tries == host && host != 0 && now < turn_ns &&
        turn_ns <= now + BREAKER_FIRST_NS) {
        breaker.state = BREAKER_OPEN;
        breaker.until_ns = turn_ns;
    }
    return breaker;
}

/* BREAKER_TRY: it is this delivery, of all hosts. */
static struct breaker claim(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    struct breaker breaker = {.state = BREAKER_OPEN};
    struct breaker_words words;

    for (int i = 0; i < TRIES; i++) {
        int64_t now = rate_table_now(gate->table);
        breaker_words(gate->table, tpsp->name, &words);
        breaker = judge(&words, gate->host, now);
        if (breaker.state != BREAKER_TRY)
            return breaker;
        struct breaker_words mine = {.word = breaker_claimed(words.word, now),
                                     .changed_ns = now,
                                     .tries = gate->host,
                                     .suspect = words.suspect,
                                     .suspect_until_ns = words.suspect_until_ns};
        if (put(gate->table, tpsp->name, &words, mine) && told_claim(gate, tpsp, &mine))
            return breaker;
    }
    breaker.state = BREAKER_OPEN;
    breaker.until_ns = rate_table_now(gate->table) + BREAKER_FIRST_NS;
    return breaker;
}

struct breaker breaker_share_ask(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    struct breaker_words words;

    if (gate->cluster == NULL)
        return breaker_ask(gate->table, tpsp->name);
    struct breaker own = breaker_look_own(gate->table, tpsp->name);
    if (own.state == BREAKER_OPEN)
        return own;
    breaker_words(gate->table, tpsp->name, &words);
    struct breaker all = judge(&words, gate->host, rate_table_now(gate->table));
    if (all.state == BREAKER_OPEN && told_refresh(gate, tpsp)) { /* whoever tried may have told */
        breaker_words(gate->table, tpsp->name, &words);
        all = judge(&words, gate->host, rate_table_now(gate->table));
    }
    if (all.state == BREAKER_TRY)
        all = claim(gate, tpsp);
    if (all.state == BREAKER_OPEN)
        return all;
    own = breaker_ask(gate->table, tpsp->name);
    if (own.state == BREAKER_OPEN && all.state == BREAKER_TRY)
        breaker_share_report(gate, tpsp, BREAKER_TRY, BREAKER_UNKNOWN, false);
    return own.state == BREAKER_CLOSED ? all : own;
}

/* --- reporting ---------------------------------------------------------------------------------------- */

/* What a failure on this host's own way says to all: nothing, as long as others may do better. */
static void suspect(struct breaker_words *words, int64_t host, int64_t now)
{
    bool other = words->suspect != 0 && words->suspect != host && words->suspect_until_ns > now &&
                 words->suspect_until_ns <= now + SUSPECT_NS;

    if (breaker_judge(words->word, now).state != BREAKER_CLOSED)
        return;
    if (other)
        words->word = breaker_failed(words->word, BREAKER_CLOSED, true, now);
    words->suspect = other ? 0 : host;
    words->suspect_until_ns = other ? 0 : now + SUSPECT_NS;
}

static void change(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                   struct breaker_words *words, bool tries, enum breaker_result result, bool of_account)
{
    int64_t now = rate_table_now(gate->table);
    bool failed = result == BREAKER_FAILS || result == BREAKER_REFUSES;

    if (result == BREAKER_WORKS)
        *words = (struct breaker_words){0};
    else if (failed && (of_account || tries))
        words->word =
            breaker_failed(words->word, tries ? BREAKER_TRY : BREAKER_CLOSED, result == BREAKER_REFUSES, now);
    else if (failed && breaker_look_own(gate->table, tpsp->name).state == BREAKER_OPEN)
        suspect(words, gate->host, now);
    else if (result == BREAKER_UNKNOWN && tries) /* it is the next one's turn, whoever that is */
        *words = (struct breaker_words){.word = breaker_released(words->word, now)};
    words->changed_ns = now;
}

void breaker_share_report(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                          enum breaker_state state, enum breaker_result result, bool of_account)
{
    struct breaker_words before, after;

    if (gate->cluster == NULL) {
        breaker_report(gate->table, tpsp->name, state, result);
        return;
    }
    /* the account is no matter of this host's way */
    bool own = !(of_account && result == BREAKER_REFUSES);
    breaker_report(gate->table, tpsp->name, state, own ? result : BREAKER_UNKNOWN);
    for (int i = 0; i < TRIES; i++) {
        breaker_words(gate->table, tpsp->name, &before);
        after = before;
        bool tries = state == BREAKER_TRY && before.tries == gate->host &&
                     breaker_judge(before.word, rate_table_now(gate->table)).state != BREAKER_CLOSED;
        change(gate, tpsp, &after, tries, result, of_account);
        if (after.word == before.word && after.suspect == before.suspect)
            return;
        if (put(gate->table, tpsp->name, &before, after))
            break;
    }
    told_tell(gate, tpsp);
}

/* --- between hosts ------------------------------------------------------------------------------------ */

int64_t breaker_words_mark(const struct breaker_words *words)
{
    /* who is a suspect until when changes with it */
    uint64_t mark = (uint64_t)words->word * 31 + (uint64_t)words->suspect * 17 + (uint64_t)words->tries;

    return words->word == 0 && words->suspect == 0 ? 0 : (int64_t)mark;
}

/* breaker CHANGED UNTIL FAILURES TRIES SUSPECT UNTIL */
void breaker_write(const struct breaker_words *words, int64_t ahead_us, FILE *out)
{
    if (words->changed_ns == 0 && words->word == 0 && words->suspect == 0) /* it was never used */
        return;
    fprintf(out, "breaker %" PRId64 " %" PRId64 " %u %" PRIx64 " %" PRIx64 " %" PRId64 "\n",
            told_text_there(words->changed_ns, ahead_us),
            told_text_there(breaker_until(words->word), ahead_us), breaker_judge(words->word, 0).failures,
            (uint64_t)words->tries, (uint64_t)words->suspect,
            told_text_there(words->suspect_until_ns, ahead_us));
}

/* What follows "breaker". A change that is still to come would be later than all that anybody knows. */
static bool read_fields(const char *line, int64_t ahead_us, int64_t now, struct breaker_words *words_r)
{
    int64_t changed_us, until_us, failures, suspect_us;

    if (!told_text_number(&line, INT64_MIN, INT64_MAX, &changed_us) ||
        !told_text_number(&line, INT64_MIN, INT64_MAX, &until_us) ||
        !told_text_number(&line, 0, BREAKER_FAILURES_MAX, &failures) ||
        !told_text_host(&line, &words_r->tries) || !told_text_host(&line, &words_r->suspect) ||
        !told_text_number(&line, INT64_MIN, INT64_MAX, &suspect_us))
        return false;
    words_r->word = failures == 0 ? 0 : breaker_pack(told_text_here(until_us, ahead_us), (unsigned)failures);
    words_r->changed_ns = told_text_here(changed_us, ahead_us);
    if (words_r->changed_ns > now)
        words_r->changed_ns = now;
    words_r->suspect_until_ns = told_text_here(suspect_us, ahead_us);
    return true;
}

void breaker_read(struct rate_table *table, const char *tpsp, const struct breaker_words *before, bool merge,
                  int64_t ahead_us, const char *text)
{
    struct breaker_words theirs = {0};
    int64_t now = rate_table_now(table);
    char line[TOLD_LINE_SIZE];

    while (told_text_line(&text, line)) {
        const char *fields = line;
        if (!told_text_word(&fields, "breaker"))
            continue;
        if (!read_fields(fields, ahead_us, now, &theirs))
            return; /* something is told, and nobody knows what: it stays as it is */
        break;
    }
    /* of two hosts that try it is the one who has said so */
    bool both_open = breaker_judge(theirs.word, now).state == BREAKER_OPEN &&
                     breaker_judge(before->word, now).state == BREAKER_OPEN;
    if (merge && theirs.changed_ns < before->changed_ns && !both_open)
        return;
    if (breaker_words_mark(&theirs) != breaker_words_mark(before))
        put(table, tpsp, before, theirs);
}
