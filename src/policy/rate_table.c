#include "policy/rate_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/xalloc.h"

#define SECOND_NS INT64_C(1000000000)
#define CHECK_NS (SECOND_NS / 10) /* how often to look whether the file still has its name */
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

struct rate_table {
    char *state_dir;
    const struct rate_clock *clock;
    char boot_id[RATE_BOOT_ID_SIZE];
    struct rate_file *file, *before; /* before: the one that it replaced, see rate_table.h */
    int descriptor;
    uint64_t generation;
    int64_t checked_ns;
};

/* of all tables: an entry of one is never taken for an entry of another */
static _Atomic uint64_t generations;

static int64_t system_now(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void system_sleep_until(void *context, int64_t time_ns)
{
    struct timespec until = {.tv_sec = time_ns / SECOND_NS, .tv_nsec = time_ns % SECOND_NS};

    (void)context;
    clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
}

const struct rate_clock rate_clock_system = {.now_ns = system_now, .sleep_until = system_sleep_until};

static bool read_boot_id(char boot_id[RATE_BOOT_ID_SIZE], struct outcome *error_r)
{
    AUTO_CLOSE int descriptor = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);
    ssize_t length = descriptor < 0 ? -1 : read(descriptor, boot_id, RATE_BOOT_ID_SIZE - 1);

    if (length <= 0) {
        outcome_local(error_r, "4.3.0", "cannot read %s: %s; rate limits need it, mount /proc", BOOT_ID_PATH,
                      strerror(errno));
        return false;
    }
    boot_id[length] = '\0';
    boot_id[strcspn(boot_id, "\n")] = '\0';
    return true;
}

bool rate_table_open(struct rate_table **table_r, const char *state_dir, const struct rate_clock *clock,
                     struct outcome *error_r)
{
    struct rate_table *table = xcalloc(1, sizeof *table);

    *table_r = NULL;
    table->state_dir = xstrdup(state_dir);
    table->clock = clock;
    bool ok = true;
    if (clock->boot_id != NULL)
        snprintf(table->boot_id, sizeof table->boot_id, "%s", clock->boot_id);
    else
        ok = read_boot_id(table->boot_id, error_r);
    if (!ok || !rate_table_ready(table, rate_table_now(table), error_r)) {
        rate_table_close(table);
        return false;
    }
    *table_r = table;
    return true;
}

void rate_table_close(struct rate_table *table)
{
    if (table == NULL)
        return;
    if (table->file != NULL)
        close(table->descriptor);
    rate_file_unmap(table->file);
    rate_file_unmap(table->before);
    free(table->state_dir);
    free(table);
}

int64_t rate_table_now(const struct rate_table *table)
{
    return table->clock->now_ns(table->clock->context);
}

void rate_table_sleep_until(const struct rate_table *table, int64_t time_ns)
{
    table->clock->sleep_until(table->clock->context, time_ns);
}

uint64_t rate_table_generation(const struct rate_table *table)
{
    return table->generation;
}

uint64_t rate_table_kept_stamp(const struct rate_table *table)
{
    uint64_t changes = (uint64_t)atomic_load_explicit(&table->file->kept, memory_order_acquire);

    return changes == 0 ? 0 : table->generation << 32 | (uint32_t)changes;
}

void rate_table_kept_changed(const struct rate_table *table)
{
    atomic_fetch_add(&table->file->kept, 1);
}

bool rate_table_intact(const struct rate_table *table)
{
    return atomic_load(&table->file->magic) == RATE_MAGIC;
}

/* Whether other processes, too, find this file under its name. */
static bool named(const struct rate_table *table)
{
    struct stat status;

    return fstat(table->descriptor, &status) == 0 && status.st_nlink > 0 &&
           status.st_size == (off_t)sizeof(struct rate_file);
}

bool rate_table_ready(struct rate_table *table, int64_t now, struct outcome *error_r)
{
    if (table->file != NULL) {
        bool ok = rate_table_intact(table);
        if (ok && (now - table->checked_ns >= CHECK_NS || now < table->checked_ns)) {
            table->checked_ns = now;
            ok = named(table);
        }
        if (!ok) {
            rate_file_unmap(table->before);
            table->before = table->file;
            table->file = NULL;
            close(table->descriptor);
        }
    }
    if (table->file == NULL) {
        table->generation = atomic_fetch_add(&generations, 1) + 1;
        table->checked_ns = now;
        table->file = rate_file_map(table->state_dir, table->boot_id, now, &table->descriptor, error_r);
        if (table->file == NULL)
            return false;
    }
    int64_t seen = atomic_load_explicit(&table->file->seen_ns, memory_order_relaxed);
    if (seen <= now - SECOND_NS)
        atomic_compare_exchange_strong(&table->file->seen_ns, &seen, now);
    return true;
}

void rate_key_set(struct rate_key *key_r, const char *name, const char *kind, int64_t window_ns)
{
    /* FNV-1a over the whole, the end of name included, then the last step of MurmurHash3 to spread it over
     * all bits */
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)window_ns;

    for (const char *at = name;; at++) {
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
        if (*at == '\0')
            break;
    }
    for (const char *at = kind; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    hash ^= hash >> 33;
    memset(key_r, 0, sizeof *key_r);
    key_r->hash = hash <= RATE_HASH_CLAIMED ? hash + 2 : hash;
    key_r->window_ns = window_ns;
    snprintf(key_r->label, sizeof key_r->label, "%s %s", name, kind);
}

static bool is_key(const struct rate_entry *entry, const struct rate_key *key)
{
    return atomic_load(&entry->hash) == key->hash && entry->window_ns == key->window_ns &&
           memcmp(entry->label, key->label, sizeof key->label) == 0;
}

static struct rate_entry *place(const struct rate_table *table, const struct rate_key *key, size_t probe)
{
    return &table->file->entries[(key->hash + probe) % RATE_ENTRIES];
}

struct rate_entry *rate_table_find(struct rate_table *table, const struct rate_key *key)
{
    for (size_t probe = 0; probe < RATE_PROBES; probe++) {
        struct rate_entry *entry = place(table, key, probe);
        if (is_key(entry, key))
            return entry;
        if (atomic_load(&entry->hash) == RATE_HASH_EMPTY)
            return NULL;
    }
    return NULL;
}

bool rate_table_holds(const struct rate_table *table, const struct rate_entry *entry,
                      const struct rate_key *key)
{
    return atomic_load(&entry->hash) == key->hash && rate_table_intact(table);
}

/* Nothing is lost with it. A time further ahead than its window was never written by us. */
static bool is_idle(const struct rate_entry *entry, int64_t now)
{
    if (entry->window_ns > RATE_WINDOW_MAX_NS)
        return true; /* damaged */
    if (entry->window_ns == RATE_WINDOW_SCRATCH)
        return true;
    if (entry->window_ns <= 0 && atomic_load(&entry->words[0]) != 0)
        return false;
    if (rate_window_is_kept(entry->window_ns)) {
        for (size_t i = RATE_KEPT_TIMES; i < RATE_WORDS; i++)
            if (atomic_load(&entry->words[i]) > now)
                return false;
        return true;
    }
    for (size_t i = 0; entry->window_ns > 0 && i < RATE_WORDS; i++) {
        int64_t word = atomic_load(&entry->words[i]);
        if (word > now && word - now <= entry->window_ns)
            return false;
    }
    return true;
}

/*
 * Under the lock. Others may be about to use the entry: who has changed a word looks at the hash next, and we
 * change the hash and look at the words next, so that one of us at least sees the other and steps back.
 */
static bool claim(struct rate_entry *entry, int64_t now)
{
    uint64_t hash = atomic_load(&entry->hash);

    if (hash <= RATE_HASH_CLAIMED)
        return true;
    if (!is_idle(entry, now))
        return false;
    atomic_store(&entry->hash, RATE_HASH_CLAIMED);
    if (is_idle(entry, now))
        return true;
    atomic_store(&entry->hash, hash);
    return false;
}

static struct rate_entry *add(struct rate_table *table, const struct rate_key *key)
{
    int64_t now = rate_table_now(table);
    /* after a reboot an entry may be missing only because it did not reach the disk: see rate_file.h */
    int64_t initial = key->window_ns > 0 ? table->file->free_from_ns : 0;

    /* all free places first: an idle entry may belong to a TPSP in use */
    for (int idle_too = 0; idle_too < 2; idle_too++)
        for (size_t probe = 0; probe < RATE_PROBES; probe++) {
            struct rate_entry *entry = place(table, key, probe);
            if (!idle_too && atomic_load(&entry->hash) > RATE_HASH_CLAIMED)
                continue;
            if (!claim(entry, now))
                continue;
            entry->window_ns = key->window_ns;
            memcpy(entry->label, key->label, sizeof entry->label);
            for (size_t i = 0; i < RATE_WORDS; i++)
                atomic_store(&entry->words[i], initial);
            if (rate_window_is_kept(key->window_ns))
                rate_table_kept_changed(table);
            atomic_store(&entry->hash, key->hash);
            return entry;
        }
    return NULL;
}

struct rate_entry *rate_table_obtain(struct rate_table *table, const struct rate_key *key,
                                     struct outcome *error_r)
{
    struct rate_entry *entry = rate_table_find(table, key);

    if (entry != NULL)
        return entry;
    AUTO_CLOSE int lock = rate_file_lock(table->state_dir, error_r);
    if (lock < 0)
        return NULL;
    entry = rate_table_find(table, key);
    if (entry == NULL)
        entry = add(table, key);
    if (entry == NULL)
        outcome_local(error_r, "4.3.0",
                      "no room for \"%s\" in %s/rates: more than %u limits of TPSPs are in use", key->label,
                      table->state_dir, RATE_ENTRIES);
    return entry;
}

void rate_table_sync(const struct rate_entry *entry)
{
    uintptr_t page = (uintptr_t)entry & ~(uintptr_t)4095;

    /* a disk that fails now is no reason to stop the mail: it matters only if the power fails, too */
    (void)msync((void *)page, 4096, MS_SYNC);
}

bool rate_table_flush(const struct rate_table *table, struct outcome *error_r)
{
    if (msync(table->file, sizeof *table->file, MS_SYNC) == 0)
        return true;
    outcome_local(error_r, "4.3.0", "cannot write %s/rates to the disk: %s", table->state_dir,
                  strerror(errno));
    return false;
}
