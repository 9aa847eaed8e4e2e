#include "policy/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map_guard.h"
#include "base/state_dir.h"
#include "base/xalloc.h"

#define CAUSES (CAUSE_IN_DOUBT + 1)
#define FREE UINT64_C(0)
#define BEING_MADE UINT64_C(1)
#define MADE UINT64_C(2)
#define STATES UINT64_C(3) /* in the lowest bits of a hash */
#define PROBES 32          /* places where a series may be */

struct counters_file {
    _Atomic uint64_t magic;
    char reserved[4096 - sizeof(uint64_t)];
    struct counters_series series[COUNTERS_SERIES];
};

/* "COUN", the 2nd way in which a series is found, and the size: what any other version has left is replaced.
 */
#define MAGIC (UINT64_C(0x434f554e32000000) | (sizeof(struct counters_file) & 0xffffff))

_Static_assert(1 + 2 * CAUSES <= COUNTERS_VALUES, "every outcome has a place");
_Static_assert(COUNTERS_BUCKETS + 1 <= COUNTERS_VALUES, "buckets and their sum");
_Static_assert(COUNTERS_WAIT_BUCKETS + 1 <= COUNTERS_VALUES, "buckets and their sum");

struct counters {
    struct counters_file *file;
};

const int64_t counters_bounds_ms[COUNTERS_BUCKETS] = {
    100, 250, 500, 1000, 2500, 5000, 15000, 60000, 300000, 900000, 3600000, 14400000, 86400000, INT64_MAX};
const int64_t counters_wait_bounds_us[COUNTERS_WAIT_BUCKETS] = {
    100,   250,    500,    1000,   2500,    5000,    10000,    25000,
    50000, 100000, 250000, 500000, 1000000, 5000000, 30000000, INT64_MAX};

/* --- the file --------------------------------------------------------------------------------------- */

static struct counters_file *map(const char *path)
{
    struct outcome ignored;
    struct stat status;
    AUTO_CLOSE int descriptor = state_dir_open(path, O_RDWR, &ignored);

    if (descriptor < 0 || fstat(descriptor, &status) != 0 ||
        status.st_size != (off_t)sizeof(struct counters_file))
        return NULL;
    struct counters_file *file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (file == MAP_FAILED)
        return NULL;
    map_guard_add(file, sizeof *file);
    if (atomic_load(&file->magic) == MAGIC)
        return file;
    map_guard_remove(file);
    munmap(file, sizeof *file);
    return NULL;
}

/* Not by link(2): for a moment it would have two names, and a file of ours that has is not believed. EINVAL:
 * the file system can only replace. */
static bool give_name(const char *fresh, const char *path, bool replace)
{
    if (!replace && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return true;
    return (replace || errno == EINVAL) && rename(fresh, path) == 0;
}

/* Whole before it has its name, and its blocks taken. Of several that make it at once the first gives it its
 * name, and the others use his; one that is damaged is replaced. */
static bool create(const char *path, bool replace)
{
    AUTO_FREE char *fresh = xasprintf("%s.%ld", path, (long)gettid());
    struct outcome ignored;
    uint64_t magic = MAGIC;

    unlink(fresh);
    AUTO_CLOSE int descriptor = state_dir_open(fresh, O_WRONLY | O_CREAT | O_EXCL, &ignored);
    if (descriptor < 0)
        return false;
    if (posix_fallocate(descriptor, 0, sizeof(struct counters_file)) == 0 &&
        pwrite(descriptor, &magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
        give_name(fresh, path, replace))
        return true;
    bool there = errno == EEXIST;
    unlink(fresh);
    return there;
}

struct counters *counters_open(const char *state_dir)
{
    AUTO_FREE char *path = xasprintf("%s/counters", state_dir);
    struct counters_file *file = map(path);

    for (int replace = 0; file == NULL && replace <= 1 && create(path, replace); replace++)
        file = map(path);
    if (file == NULL)
        return NULL;
    struct counters *counters = xcalloc(1, sizeof *counters);
    counters->file = file;
    return counters;
}

void counters_close(struct counters *counters)
{
    if (counters == NULL)
        return;
    map_guard_remove(counters->file);
    munmap(counters->file, sizeof *counters->file);
    free(counters);
}

/* --- series ----------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const char *text) /* FNV-1a, with the end of each text */
{
    do
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    while (*text++ != '\0');
    return hash;
}

/* NULL: there is no room. Whoever takes a place says at once for which series, and fills it in before others
 * see it; another who wants the same one meanwhile fills in the same. */
static struct counters_series *find(struct counters *counters, enum counters_kind kind, const char *tpsp,
                                    const char *name, const char *detail)
{
    uint64_t hash = mix(mix(mix(0xcbf29ce484222325 ^ (uint64_t)kind, tpsp), name), detail) & ~STATES;

    for (unsigned i = 0; i < PROBES; i++) {
        struct counters_series *series = &counters->file->series[(hash / (STATES + 1) + i) % COUNTERS_SERIES];
        uint64_t there = atomic_load(&series->hash);
        if (there == FREE && atomic_compare_exchange_strong(&series->hash, &there, hash | BEING_MADE))
            there = hash | BEING_MADE;
        if (there == (hash | MADE))
            return series;
        if (there != (hash | BEING_MADE))
            continue;
        series->kind = kind;
        snprintf(series->tpsp, sizeof series->tpsp, "%s", tpsp);
        snprintf(series->name, sizeof series->name, "%s", name);
        snprintf(series->detail, sizeof series->detail, "%s", detail);
        atomic_store(&series->hash, hash | MADE);
        return series;
    }
    return NULL;
}

static void add(struct counters *counters, enum counters_kind kind, const char *tpsp, const char *name,
                const char *detail, unsigned place, uint64_t amount)
{
    struct counters_series *series = find(counters, kind, tpsp, name, detail);

    if (series != NULL)
        atomic_fetch_add(&series->values[place], amount);
}

unsigned counters_outcome_place(enum outcome_class class, enum outcome_cause cause)
{
    return class == OUTCOME_DELIVERED
               ? 0
               : 1u + (class == OUTCOME_DROPPED ? (unsigned)CAUSES : 0u) + (unsigned)cause;
}

/* Into the first bucket that holds it; the sum is behind the last. */
static void add_to_histogram(struct counters_series *series, const int64_t *bounds, unsigned buckets,
                             int64_t value)
{
    unsigned bucket = 0;

    if (series == NULL)
        return;
    while (value > bounds[bucket])
        bucket++;
    atomic_fetch_add(&series->values[bucket], 1);
    if (value > 0)
        atomic_fetch_add(&series->values[buckets], (uint64_t)value);
}

void counters_note_wait(struct counters *counters, int64_t wait_us)
{
    if (counters != NULL)
        add_to_histogram(find(counters, COUNTERS_WAITS, "", "", ""), counters_wait_bounds_us,
                         COUNTERS_WAIT_BUCKETS, wait_us);
}

void counters_note(struct counters *counters, const struct counters_delivery *delivery)
{
    const struct outcome *outcome = delivery->outcome;
    if (counters == NULL)
        return;
    add(counters, COUNTERS_OUTCOMES, delivery->tpsp, delivery->provider, "",
        counters_outcome_place(outcome->class, outcome->cause), 1);
    if (outcome->class == OUTCOME_DEFERRED) {
        add(counters, COUNTERS_DEFERRALS, delivery->tpsp,
            delivery->reason != NULL ? delivery->reason : counters_cause_name(outcome->cause),
            delivery->rule != NULL ? delivery->rule : "", 0, 1);
    } else {
        add_to_histogram(find(counters, COUNTERS_TIMES, delivery->tpsp, delivery->provider, ""),
                         counters_bounds_ms, COUNTERS_BUCKETS, delivery->time_ms);
    }
    if (delivery->certificate_ms > 0) {
        struct counters_series *series = find(counters, COUNTERS_CERTIFICATE, delivery->tpsp, "", "");
        if (series != NULL)
            atomic_store(&series->values[0], (uint64_t)delivery->certificate_ms);
    }
}

void counters_each(struct counters *counters,
                   void (*see)(void *context, const struct counters_series *series), void *context)
{
    for (size_t i = 0; counters != NULL && i < COUNTERS_SERIES; i++)
        if ((atomic_load(&counters->file->series[i].hash) & STATES) == MADE)
            see(context, &counters->file->series[i]);
}

/* --- words ------------------------------------------------------------------------------------------ */

const char *counters_class_name(enum outcome_class class)
{
    return class == OUTCOME_DELIVERED ? "delivered" : class == OUTCOME_DEFERRED ? "deferred" : "dropped";
}

const char *counters_cause_name(enum outcome_cause cause)
{
    static const char *const names[CAUSES] = {
        [CAUSE_NONE] = "none",        [CAUSE_OURS] = "ours",     [CAUSE_UNREACHABLE] = "unreachable",
        [CAUSE_ACCOUNT] = "account",  [CAUSE_HOST] = "host",     [CAUSE_SESSION] = "session",
        [CAUSE_MESSAGE] = "message",  [CAUSE_POLICY] = "policy", [CAUSE_RATE] = "rate",
        [CAUSE_IN_DOUBT] = "in doubt"};

    return cause < CAUSES ? names[cause] : "none";
}
