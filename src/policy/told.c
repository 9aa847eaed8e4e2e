#include "policy/told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/state_dir.h"
#include "base/xalloc.h"
#include "policy/breaker_share.h"
#include "policy/slow_down_share.h"

#define TRIES 4 /* of hosts that tell at once one is heard each time */

enum place { KNOWN, MARK };

#define IN_DOUBT 2 /* no mark is even */

static struct rate_entry *entry_of(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                                   bool make)
{
    struct outcome ignored;
    struct rate_key key;

    rate_key_set(&key, tpsp->name, "told", 0);
    if (!rate_table_ready(gate->table, rate_table_now(gate->table), &ignored))
        return NULL;
    return make ? rate_table_obtain(gate->table, &key, &ignored) : rate_table_find(gate->table, &key);
}

static struct slow_down subject(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    return (struct slow_down){.config = gate->config, .table = gate->table, .tpsp = tpsp};
}

int64_t told_version(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    const struct rate_entry *entry = entry_of(gate, tpsp, false);

    return entry != NULL ? atomic_load(&entry->words[KNOWN]) : 0;
}

/* All that is told of a TPSP, as this host knows it. */
struct picture {
    struct slow_down_picture slow_down;
    struct breaker_words breaker;
};

static void look(const struct admission_gate *gate, const struct config_tpsp *tpsp, struct picture *picture_r)
{
    const struct slow_down about = subject(gate, tpsp);

    slow_down_picture(&about, &picture_r->slow_down);
    breaker_words(gate->table, tpsp->name, &picture_r->breaker);
}

/* Another whenever anything is; odd. */
static int64_t mark_of(const struct picture *picture)
{
    uint64_t breaker = (uint64_t)breaker_words_mark(&picture->breaker) * UINT64_C(0x9e3779b97f4a7c15);

    return (slow_down_picture_mark(&picture->slow_down) ^ (int64_t)breaker) | 1;
}

/* What an empty table has: nothing of it is news to anybody. */
static int64_t mark_of_nothing(void)
{
    static const struct picture nothing;

    return mark_of(&nothing);
}

static int64_t known_mark(const struct rate_entry *entry)
{
    int64_t mark = entry != NULL ? atomic_load(&entry->words[MARK]) : 0;

    return mark != 0 ? mark : mark_of_nothing();
}

static int64_t ahead_us(const struct admission_gate *gate)
{
    struct outcome ignored;
    struct cluster_shared *shared = admission_shared(gate, &ignored);

    return shared != NULL ? atomic_load(&shared->clock_us) : 0;
}

/* Not the lock of the table's file, under which entries are made. close() releases it. */
static int lock_hearing(const struct admission_gate *gate, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/told", gate->config->state_dir);

    return state_dir_lock(path, error_r);
}

/* The cluster may be asked now; again after whatever may have looked for the file of the table. */
static bool attach(const struct admission_gate *gate)
{
    struct outcome ignored;

    return gate->cluster != NULL && admission_shared(gate, &ignored) != NULL;
}

/*
 * The server lacks what this host has heard or told: it was emptied, a replica has missed it, or the text has
 * expired. Versions only grow as long as nothing is lost; another epoch says so as well, for others may have
 * told something since.
 */
static bool is_lost(const struct admission_gate *gate, const struct cluster_reply *reply)
{
    return reply->version < reply->asked || (attach(gate) && !cluster_epoch_is(gate->cluster, reply->epoch));
}

static bool note(const struct admission_gate *gate, const struct config_tpsp *tpsp, int64_t mark,
                 int64_t version)
{
    struct rate_entry *entry = entry_of(gate, tpsp, true);

    if (entry == NULL)
        return false;
    atomic_store(&entry->words[MARK], mark);
    atomic_store(&entry->words[KNOWN], version);
    return true;
}

/* claimed: who tried to be the one that tries hears that another was faster. */
static bool take_in(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                    const struct cluster_reply *reply, bool lost, bool claimed, struct outcome *error_r)
{
    const struct slow_down about = subject(gate, tpsp);
    struct picture before, after;

    /* of the processes of this host one at a time: an older text never covers a newer one */
    AUTO_CLOSE int lock = lock_hearing(gate, error_r);
    if (lock < 0)
        return false;
    int64_t known = told_version(gate, tpsp);
    if (known == reply->version || (known > reply->version && !lost))
        return true;
    look(gate, tpsp, &before);
    bool merge = lost || mark_of(&before) != known_mark(entry_of(gate, tpsp, false));
    slow_down_read(&about, &before.slow_down, merge, ahead_us(gate), reply->text);
    breaker_read(gate->table, tpsp->name, &before.breaker, lost || (merge && !claimed), ahead_us(gate),
                 reply->text);
    look(gate, tpsp, &after);
    note(gate, tpsp, merge ? IN_DOUBT : mark_of(&after), reply->version);
    return true;
}

static bool hear(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                 const struct cluster_reply *reply, bool claimed, struct outcome *error_r)
{
    bool lost = is_lost(gate, reply), heard = take_in(gate, tpsp, reply, lost, claimed, error_r);

    if (lost && gate->cluster != NULL) /* it may have lost all else as well */
        admission_tend(gate);
    return heard;
}

bool told_hear(const struct admission_gate *gate, const struct config_tpsp *tpsp,
               const struct cluster_reply *reply, struct outcome *error_r)
{
    return hear(gate, tpsp, reply, false, error_r);
}

static char *compose(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                     const struct picture *picture)
{
    const struct slow_down about = subject(gate, tpsp);
    char *text = NULL;
    size_t size = 0;

    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        abort(); /* out of memory, as in xalloc */
    breaker_write(&picture->breaker, ahead_us(gate), out);
    slow_down_write(&about, &picture->slow_down, ahead_us(gate), out);
    fclose(out);
    if (size >= CLUSTER_TEXT_SIZE) { /* whole lines of it */
        text[CLUSTER_TEXT_SIZE - 1] = '\0';
        char *end = strrchr(text, '\n');
        *(end != NULL ? end + 1 : text) = '\0';
    }
    return text;
}

enum manner { MERGE, OVERRULE, CLAIM };

/* CLUSTER_DONE: the others know; CLUSTER_NEWS: others were faster each time; CLUSTER_AWAY. */
static enum cluster_answer tell(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                                enum manner manner, const struct breaker_words *claim)
{
    static _Thread_local struct cluster_reply reply;
    struct outcome ignored;
    struct picture picture;

    for (int i = 0; i < (manner == CLAIM ? 1 : TRIES); i++) {
        look(gate, tpsp, &picture);
        const struct rate_entry *entry = entry_of(gate, tpsp, false);
        if (manner == CLAIM && (picture.breaker.word != claim->word || picture.breaker.tries != claim->tries))
            return CLUSTER_NEWS; /* another process of this host has heard of somebody else meanwhile */
        int64_t mark = mark_of(&picture);
        if (mark == known_mark(entry) && manner != OVERRULE)
            return CLUSTER_DONE;
        const struct cluster_told told = {.tpsp = tpsp->name,
                                          .version = entry != NULL ? atomic_load(&entry->words[KNOWN]) : 0};
        AUTO_FREE char *text = compose(gate, tpsp, &picture);
        if (!attach(gate))
            return CLUSTER_AWAY;
        enum cluster_answer answer =
            cluster_tell(gate->cluster, &told, text, clock_monotonic_ms() + CLUSTER_PATIENCE_MS, &reply);
        if (answer == CLUSTER_DONE)
            note(gate, tpsp, mark, reply.version);
        if (answer != CLUSTER_NEWS)
            return answer;
        if (manner == OVERRULE ? !note(gate, tpsp, IN_DOUBT, reply.version)
                               : !hear(gate, tpsp, &reply, manner == CLAIM, &ignored))
            return CLUSTER_AWAY;
    }
    return CLUSTER_NEWS;
}

void told_tell(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    if (attach(gate))
        tell(gate, tpsp, MERGE, NULL);
}

bool told_claim(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                const struct breaker_words *claim)
{
    return !attach(gate) || tell(gate, tpsp, CLAIM, claim) != CLUSTER_NEWS;
}

bool told_overrule(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    return gate->cluster == NULL || (attach(gate) && tell(gate, tpsp, OVERRULE, NULL) == CLUSTER_DONE);
}

bool told_refresh(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    static _Thread_local struct cluster_reply reply;
    const struct cluster_told told = {.tpsp = tpsp->name, .version = told_version(gate, tpsp)};
    struct outcome ignored;

    if (!attach(gate) || cluster_tell(gate->cluster, &told, NULL, clock_monotonic_ms() + CLUSTER_PATIENCE_MS,
                                      &reply) != CLUSTER_NEWS)
        return false;
    bool lost = is_lost(gate, &reply), heard = told_hear(gate, tpsp, &reply, &ignored);
    if (lost) /* for the others, who may not know it either */
        told_tell(gate, tpsp);
    return heard;
}

void told_exchange(const struct admission_gate *gate, const struct config_tpsp *tpsp)
{
    told_refresh(gate, tpsp);
    told_tell(gate, tpsp);
}

void told_doubt(const struct admission_gate *gate)
{
    for (size_t i = 0; i < gate->config->tpsp_count; i++) {
        struct rate_entry *entry = entry_of(gate, &gate->config->tpsps[i], false);
        if (entry != NULL)
            atomic_store(&entry->words[MARK], IN_DOUBT);
    }
}
