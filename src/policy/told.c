#include "policy/told.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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
static int lock_hearing(const struct admission_gate *gate)
{
    AUTO_FREE char *path = xasprintf("%s/told", gate->config->state_dir);
    struct outcome ignored;
    int lock = state_dir_open(path, O_RDWR | O_CREAT, &ignored);

    while (lock >= 0 && flock(lock, LOCK_EX) != 0)
        if (errno != EINTR) {
            close(lock);
            return -1;
        }
    return lock;
}

/* claimed: who tried to be the one that tries hears that another was faster. */
static void take_in(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                    const struct cluster_reply *reply, bool claimed)
{
    const struct slow_down about = subject(gate, tpsp);
    struct rate_entry *entry = entry_of(gate, tpsp, true);
    struct picture before, after;

    /* of the processes of this host one at a time: an older text never covers a newer one */
    AUTO_CLOSE int lock = lock_hearing(gate);
    if (entry == NULL || lock < 0 || atomic_load(&entry->words[KNOWN]) == reply->version)
        return;
    look(gate, tpsp, &before);
    bool merge = mark_of(&before) != known_mark(entry);
    slow_down_read(&about, &before.slow_down, merge, ahead_us(gate), reply->text);
    breaker_read(gate->table, tpsp->name, &before.breaker, merge && !claimed, ahead_us(gate), reply->text);
    look(gate, tpsp, &after);
    atomic_store(&entry->words[MARK], merge ? IN_DOUBT : mark_of(&after));
    atomic_store(&entry->words[KNOWN], reply->version);
}

void told_hear(const struct admission_gate *gate, const struct config_tpsp *tpsp,
               const struct cluster_reply *reply)
{
    take_in(gate, tpsp, reply, false);
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
    struct picture picture;

    for (int i = 0; i < (manner == CLAIM ? 1 : TRIES); i++) {
        struct rate_entry *entry = entry_of(gate, tpsp, manner == OVERRULE);
        look(gate, tpsp, &picture);
        if (manner == CLAIM && (picture.breaker.word != claim->word || picture.breaker.tries != claim->tries))
            return CLUSTER_NEWS; /* another process of this host has heard of somebody else meanwhile */
        int64_t mark = mark_of(&picture);
        if (mark == known_mark(entry) && manner != OVERRULE)
            return CLUSTER_DONE;
        if (entry == NULL && (entry = entry_of(gate, tpsp, true)) == NULL)
            return CLUSTER_AWAY;
        const struct cluster_told told = {.tpsp = tpsp->name, .version = atomic_load(&entry->words[KNOWN])};
        AUTO_FREE char *text = compose(gate, tpsp, &picture);
        enum cluster_answer answer =
            cluster_tell(gate->cluster, &told, text, clock_monotonic_ms() + CLUSTER_PATIENCE_MS, &reply);
        if (answer == CLUSTER_DONE) {
            atomic_store(&entry->words[MARK], mark);
            atomic_store(&entry->words[KNOWN], reply.version);
        }
        if (answer != CLUSTER_NEWS)
            return answer;
        if (manner == OVERRULE)
            atomic_store(&entry->words[KNOWN], reply.version);
        else
            take_in(gate, tpsp, &reply, manner == CLAIM);
    }
    return CLUSTER_NEWS;
}

static bool attach(const struct admission_gate *gate)
{
    struct outcome ignored;
    struct cluster_shared *shared = gate->cluster != NULL ? admission_shared(gate, &ignored) : NULL;

    if (shared != NULL)
        cluster_attach(gate->cluster, shared);
    return shared != NULL;
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

    if (!attach(gate) || cluster_tell(gate->cluster, &told, NULL, clock_monotonic_ms() + CLUSTER_PATIENCE_MS,
                                      &reply) != CLUSTER_NEWS)
        return false;
    told_hear(gate, tpsp, &reply);
    return true;
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
