#include "delivery/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map_guard.h"
#include "base/state_dir.h"
#include "base/xalloc.h"
#include "delivery/claim.h"
#include "store/store.h"

#define PLACE_SIZE 8192
#define OLD_MS (40ll * 24 * 3600 * 1000) /* no message stays in a queue so long */
#define LOCK_PATIENCE_MS 30000

/* Whoever sets the claim of a free place has it, and gives it back last: at each step between, the claim
 * tells whether somebody is at it, or was killed there. */
struct place {
    _Atomic int state;
    _Atomic int64_t claim; /* 0: the place is free */
    int64_t boot;
    int64_t begun_ms; /* clock_monotonic_ms(), of that boot */
    /* Of key and event: they are of several pages, and a power cut may leave each as it was. */
    uint64_t check;
    struct event event;
};

union padded_place {
    struct place place;
    char size[PLACE_SIZE];
};

/* The keys stand together: looking for one touches a page or two. 0: of a place without one. */
struct mark_file {
    _Atomic uint64_t magic;
    char reserved[4096 - sizeof(uint64_t)];
    _Atomic int64_t keys[MARK_PLACES];
    union padded_place places[MARK_PLACES];
};

_Static_assert(sizeof(struct place) <= PLACE_SIZE, "an event fits");
_Static_assert(sizeof(struct mark_file) == 4096 + MARK_PLACES * sizeof(int64_t) + MARK_PLACES * PLACE_SIZE,
               "no padding");

/* "SMARKS" and what another version of this file would have otherwise */
#define MAGIC (UINT64_C(0x534b52414d530000) | (sizeof(struct event) & 0xffff))

struct mark_table {
    struct mark_file *file;
    char *state_dir;
    int64_t boot;
    int last; /* a place that was good before: the same few pages are used again and again */
};

/* --- the file ------------------------------------------------------------------------------------------ */

static int64_t hash(const void *data, size_t length) /* FNV-1a, 63 bits, never 0 */
{
    uint64_t value = 0xcbf29ce484222325;

    for (const unsigned char *at = data; length > 0; at++, length--)
        value = (value ^ *at) * 0x100000001b3;
    return (int64_t)(value >> 1) | 1;
}

/* Of a key and its event, by words: it has five kilobytes, most of them empty, and is on the way of each
 * message. */
static uint64_t check_of(int64_t key, const struct event *event)
{
    const char *bytes = (const char *)event;
    uint64_t value = (0xcbf29ce484222325 ^ (uint64_t)key) * 0x100000001b3, word;

    _Static_assert(sizeof *event % sizeof word == 0, "whole words");
    for (size_t at = 0; at < sizeof *event; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        value = (value ^ word) * 0x100000001b3;
    }
    return value;
}

static int64_t boot_of_machine(void)
{
    char id[64];
    AUTO_CLOSE int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, id, sizeof id);

    return length > 0 ? hash(id, (size_t)length) : 1;
}

static struct mark_file *map(const char *path, struct outcome *error_r)
{
    struct stat status;
    AUTO_CLOSE int descriptor = state_dir_open(path, O_RDWR, error_r);

    if (descriptor < 0)
        return NULL;
    if (fstat(descriptor, &status) != 0 || status.st_size != (off_t)sizeof(struct mark_file)) {
        errno = ENOENT;
        return NULL;
    }
    struct mark_file *file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (file == MAP_FAILED) {
        state_dir_error("map", path, errno, error_r);
        return NULL;
    }
    map_guard_add(file, sizeof *file);
    if (atomic_load(&file->magic) == MAGIC)
        return file;
    map_guard_remove(file);
    munmap(file, sizeof *file);
    errno = ENOENT;
    return NULL;
}

/* Written out, not extended: its blocks are there before it is needed. */
static bool write_out(int descriptor)
{
    AUTO_FREE char *zeroes = xcalloc(1, PLACE_SIZE);
    uint64_t magic = MAGIC;

    for (size_t at = 0; at < sizeof(struct mark_file);) {
        size_t left = sizeof(struct mark_file) - at;
        ssize_t written = write(descriptor, zeroes, left < PLACE_SIZE ? left : PLACE_SIZE);
        if (written < 0 && errno != EINTR)
            return false;
        at += written > 0 ? (size_t)written : 0;
    }
    return pwrite(descriptor, &magic, sizeof magic, 0) == (ssize_t)sizeof magic && fsync(descriptor) == 0;
}

/* Under a lock, and whole before it has its name. */
static bool create(const char *path, struct outcome *error_r)
{
    AUTO_FREE char *fresh = xasprintf("%s.new", path);

    unlink(fresh); /* of one that died */
    AUTO_CLOSE int descriptor = state_dir_open(fresh, O_WRONLY | O_CREAT | O_EXCL, error_r);
    if (descriptor < 0)
        return false;
    if (write_out(descriptor) && rename(fresh, path) == 0)
        return true;
    state_dir_error("create", path, errno, error_r);
    unlink(fresh);
    return false;
}

static struct mark_file *map_or_create(const char *state_dir, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/marks", state_dir);
    struct mark_file *file = map(path, error_r);

    if (file != NULL || errno != ENOENT)
        return file;
    AUTO_CLOSE int lock = store_lock(state_dir, "marks", clock_monotonic_ms() + LOCK_PATIENCE_MS, error_r);
    if (lock < 0)
        return NULL;
    file = map(path, error_r); /* another process may have made it meanwhile */
    if (file != NULL || errno != ENOENT)
        return file;
    return create(path, error_r) ? map(path, error_r) : NULL;
}

static struct mark_table *table_of(struct mark_file *file, const char *state_dir)
{
    if (file == NULL)
        return NULL;
    struct mark_table *table = xcalloc(1, sizeof *table);
    *table = (struct mark_table){.file = file,
                                 .state_dir = xstrdup(state_dir),
                                 .boot = boot_of_machine(),
                                 .last = (int)(getpid() % MARK_PLACES)};
    return table;
}

struct mark_table *mark_table_open(const char *state_dir, struct outcome *error_r)
{
    return table_of(map_or_create(state_dir, error_r), state_dir);
}

struct mark_table *mark_table_find(const char *state_dir, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/marks", state_dir);

    return table_of(map(path, error_r), state_dir);
}

void mark_table_close(struct mark_table *table)
{
    if (table == NULL)
        return;
    map_guard_remove(table->file);
    munmap(table->file, sizeof *table->file);
    free(table->state_dir);
    free(table);
}

int64_t mark_boot(const struct mark_table *table)
{
    return table->boot;
}

/* --- places -------------------------------------------------------------------------------------------- */

static struct place *place_of(struct mark_table *table, int place)
{
    return &table->file->places[place].place;
}

static bool is_proof(struct mark_table *table, int place, int64_t key)
{
    const struct place *content = place_of(table, place);

    return atomic_load(&content->state) == MARK_ACCEPTED && content->check == check_of(key, &content->event);
}

int mark_count_accepted(struct mark_table *table)
{
    int count = 0;

    for (int i = 0; i < MARK_PLACES; i++) {
        int64_t key = atomic_load(&table->file->keys[i]);
        if (key != 0 && is_proof(table, i, key))
            count++;
    }
    return count;
}

int mark_find(struct mark_table *table, int64_t key, enum mark_state *state_r)
{
    for (int i = 0; i < MARK_PLACES; i++) {
        if (atomic_load(&table->file->keys[i]) != key)
            continue;
        const struct place *place = place_of(table, i);
        *state_r = (enum mark_state)atomic_load(&place->state);
        if (*state_r == MARK_ACCEPTED && !is_proof(table, i, key))
            *state_r = MARK_DOT; /* it was accepted, or another that had the place before */
        else if (*state_r != MARK_ACCEPTED && place->boot != table->boot)
            *state_r = MARK_BEGUN;
        return i;
    }
    *state_r = MARK_NONE;
    return -1;
}

/* By whoever holds its claim. */
static void free_place(struct mark_table *table, int place)
{
    atomic_store(&place_of(table, place)->state, MARK_NONE);
    atomic_store(&table->file->keys[place], 0);
    atomic_store(&place_of(table, place)->claim, 0);
}

/* Whether that delivery still has the place, and left nothing there that has to be known: the store knows
 * what is in doubt since another boot. */
static bool is_void(struct mark_table *table, int place, int64_t key, int64_t claim)
{
    const struct place *content = place_of(table, place);
    int state = atomic_load(&content->state);
    bool doubtful = state == MARK_DOT || state == MARK_ACCEPTED;

    if ((key == 0 && claim == 0) || atomic_load(&table->file->keys[place]) != key ||
        atomic_load(&content->claim) != claim || is_proof(table, place, key))
        return false;
    return !doubtful || content->boot != table->boot || clock_monotonic_ms() - content->begun_ms >= OLD_MS;
}

/* Of a delivery that is over, or was ended while it took the place or gave it back. What was read without its
 * claim may be of two deliveries, and is read again: whoever has the claim is alone with the place. */
static void reclaim(struct mark_table *table, int place)
{
    int64_t key = atomic_load(&table->file->keys[place]);
    int64_t claim_offset = atomic_load(&place_of(table, place)->claim);

    if (!is_void(table, place, key, claim_offset))
        return;
    AUTO_CLOSE int claim = claim_try(table->state_dir, claim_offset);
    if (claim >= 0 && is_void(table, place, key, claim_offset))
        free_place(table, place);
}

static int take_free(struct mark_table *table, int64_t key, int64_t claim)
{
    for (int i = 0; i < MARK_PLACES; i++) {
        int place = (table->last + i) % MARK_PLACES;
        int64_t none = 0;
        if (atomic_load(&table->file->keys[place]) != 0 || /* a power cut may leave one without a claim */
            !atomic_compare_exchange_strong(&place_of(table, place)->claim, &none, claim))
            continue;
        atomic_store(&table->file->keys[place], key);
        return table->last = place;
    }
    return -1;
}

static void explain_lack(struct mark_table *table, int place, struct outcome *error_r)
{
    int accepted = mark_count_accepted(table);

    if (place >= 0)
        outcome_local(error_r, "4.3.0", "%s/marks was cut short or replaced; leave it alone",
                      table->state_dir);
    else if (accepted > 0)
        outcome_local(
            error_r, "4.3.0",
            "%s/marks is full: %d deliveries were accepted and could not be put on record yet; free "
            "some space on its file system",
            table->state_dir, accepted);
    else
        outcome_local(error_r, "4.3.0",
                      "%s/marks is full: %d deliveries are under way, or were ended within the last boot "
                      "between the message and its answer; keep maxproc of the transports in master.cf below "
                      "that",
                      table->state_dir, MARK_PLACES);
}

int mark_begin(struct mark_table *table, int64_t key, int64_t claim, struct outcome *error_r)
{
    enum mark_state ignored;
    int place = mark_find(table, key, &ignored);

    if (place < 0)
        place = take_free(table, key, claim);
    if (place < 0) {
        for (int i = 0; i < MARK_PLACES; i++)
            reclaim(table, i);
        place = take_free(table, key, claim);
    }
    if (place < 0 || atomic_load(&table->file->magic) != MAGIC) {
        explain_lack(table, place, error_r);
        return -1;
    }
    struct place *content = place_of(table, place);
    content->boot = table->boot;
    atomic_store(&content->claim, claim);
    content->begun_ms = clock_monotonic_ms();
    atomic_store(&content->state, MARK_BEGUN);
    return place;
}

bool mark_set(struct mark_table *table, int place, enum mark_state state)
{
    atomic_store(&place_of(table, place)->state, state);
    return atomic_load(&table->file->magic) == MAGIC;
}

void mark_accept(struct mark_table *table, int place, const struct event *event)
{
    struct place *content = place_of(table, place);

    content->event = *event;
    content->check = check_of(atomic_load(&table->file->keys[place]), event);
    atomic_store(&content->state, MARK_ACCEPTED);
}

bool mark_event(struct mark_table *table, int place, struct event *event_r)
{
    if (!is_proof(table, place, atomic_load(&table->file->keys[place])))
        return false;
    *event_r = place_of(table, place)->event;
    event_r->row = 0;
    return true;
}

void mark_end(struct mark_table *table, int place)
{
    free_place(table, place);
}

void mark_each_left(struct mark_table *table,
                    bool (*keep)(void *context, int64_t key, const struct event *event), void *context)
{
    for (int i = 0; i < MARK_PLACES; i++) {
        int64_t key = atomic_load(&table->file->keys[i]);
        struct event event;
        if (key == 0 || atomic_load(&place_of(table, i)->state) != MARK_ACCEPTED)
            continue;
        AUTO_CLOSE int claim = claim_try(table->state_dir, place_of(table, i)->claim);
        if (claim < 0 || atomic_load(&table->file->keys[i]) != key || !mark_event(table, i, &event))
            continue;
        if (keep(context, key, &event))
            free_place(table, i);
    }
}
