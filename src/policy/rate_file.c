#include "policy/rate_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map_guard.h"
#include "base/state_dir.h"
#include "base/xalloc.h"
#include "policy/slow_down_law.h"

#define NAME "rates"
#define NEW_NAME "rates.new"
#define LOCK_NAME "rates.lock"

_Static_assert(sizeof(struct rate_entry) == 256, "an entry lies within one page and whole cache lines");
_Static_assert(sizeof(struct rate_file) == 4096 + RATE_ENTRIES * sizeof(struct rate_entry), "no padding");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock inside an atomic would not be shared by processes");

static char *path_of(const char *state_dir, const char *name)
{
    return xasprintf("%s/%s", state_dir, name);
}

int rate_file_lock(const char *state_dir, struct outcome *error_r)
{
    AUTO_FREE char *path = path_of(state_dir, LOCK_NAME);

    return state_dir_lock(path, error_r);
}

static void cannot(struct outcome *error_r, const char *verb, const char *state_dir, const char *name)
{
    int reason = errno;

    outcome_local(error_r, "4.3.0",
                  "cannot %s %s/%s: %s; check the owner of the directory and the room on its disk", verb,
                  state_dir, name, strerror(reason));
}

/* The file as it is, mapped, if it is ours and of this boot; NULL otherwise. */
static struct rate_file *map_valid(int descriptor, const char *boot_id)
{
    struct stat status;

    if (fstat(descriptor, &status) != 0 || status.st_size != (off_t)sizeof(struct rate_file))
        return NULL;
    struct rate_file *file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (file == MAP_FAILED)
        return NULL;
    map_guard_add(file, sizeof *file);
    if (atomic_load(&file->magic) == RATE_MAGIC && strncmp(file->boot_id, boot_id, sizeof file->boot_id) == 0)
        return file;
    map_guard_remove(file);
    munmap(file, sizeof *file);
    return NULL;
}

/* How far word is ahead of seen, at most window; 0 where it is not. */
static int64_t left_of(int64_t word, int64_t seen, int64_t window)
{
    int64_t left;

    if (word <= seen)
        return 0;
    return __builtin_sub_overflow(word, seen, &left) || left > window ? window : left;
}

/* A word of a limit in the new boot; see the head of rate_file.h. */
static int64_t carry_over_word(int64_t word, int64_t seen, int64_t window, int64_t now)
{
    int64_t left = left_of(word, seen, window);

    return now + (left > RATE_SYNC_NS ? left : RATE_SYNC_NS);
}

/* Words of a state stay as they are, but for the time in a slowed one; its times keep their distance from
 * now. */
static int64_t carry_over_kept(int64_t word, int64_t window, size_t index, int64_t seen, int64_t now)
{
    if (index == 0 && window == RATE_WINDOW_SLOWED)
        return slow_down_carry_over(word, seen, now);
    if (index < RATE_KEPT_TIMES)
        return word;
    int64_t left = left_of(word, seen, RATE_WINDOW_MAX_NS);
    return left > 0 ? now + left : 0;
}

static void carry_over(const struct rate_file *from, struct rate_file *to, int64_t now)
{
    int64_t seen = atomic_load(&from->seen_ns);

    to->free_from_ns = now + RATE_SYNC_NS;
    atomic_store(&to->kept, atomic_load(&from->kept));
    for (size_t i = 0; i < RATE_ENTRIES; i++) {
        const struct rate_entry *old = &from->entries[i];
        uint64_t hash = atomic_load(&old->hash);
        bool kept = rate_window_is_kept(old->window_ns);
        if (hash <= RATE_HASH_CLAIMED || (old->window_ns <= 0 && !kept))
            continue;
        for (size_t probe = 0; probe < RATE_PROBES; probe++) {
            struct rate_entry *place = &to->entries[(hash + probe) % RATE_ENTRIES];
            if (atomic_load(&place->hash) != RATE_HASH_EMPTY)
                continue;
            place->window_ns = old->window_ns;
            memcpy(place->label, old->label, sizeof place->label);
            for (size_t at = 0; at < RATE_WORDS; at++) {
                int64_t word = atomic_load(&old->words[at]);
                atomic_store(&place->words[at], kept ? carry_over_kept(word, old->window_ns, at, seen, now)
                                                     : carry_over_word(word, seen, old->window_ns, now));
            }
            atomic_store(&place->hash, hash);
            break;
        }
    }
}

/* Take from the file that is there what is worth keeping, and mark it as retired. */
static void retire(int descriptor, struct rate_file *fresh, int64_t now)
{
    AUTO_FREE char *old = xmalloc(sizeof(struct rate_file));
    const uint64_t retired = RATE_MAGIC_RETIRED;
    uint64_t magic = 0;
    ssize_t length = pread(descriptor, old, sizeof(struct rate_file), 0);

    if (length < (ssize_t)sizeof magic)
        return;
    memcpy(&magic, old, sizeof magic);
    if (magic != RATE_MAGIC)
        return; /* not ours, or retired: nobody uses it */
    if (length == (ssize_t)sizeof(struct rate_file))
        carry_over((const struct rate_file *)(const void *)old, fresh, now);
    /* a write that fails leaves users of an earlier file of this name on it: they see that it was unlinked */
    (void)!pwrite(descriptor, &retired, sizeof retired, 0);
}

static bool write_all(int descriptor, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t written = write(descriptor, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

/* A directory entry that is durable. */
static void sync_directory(const char *state_dir)
{
    AUTO_CLOSE int directory = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (directory >= 0)
        fsync(directory);
}

/* Under the lock: write the file whole, then put it in its place. */
static bool install(const char *state_dir, const struct rate_file *fresh, struct outcome *error_r)
{
    AUTO_FREE char *path = path_of(state_dir, NAME), *new_path = path_of(state_dir, NEW_NAME);

    unlink(new_path); /* of one that died */
    int descriptor = state_dir_open(new_path, O_WRONLY | O_CREAT | O_EXCL, error_r);
    if (descriptor < 0)
        return false;
    /* written out, not extended: a hole that finds no room on the disk later would be a SIGBUS in
     * mid-delivery */
    bool ok =
        write_all(descriptor, fresh, sizeof *fresh) && fsync(descriptor) == 0 && rename(new_path, path) == 0;
    if (!ok)
        cannot(error_r, "create", state_dir, NAME);
    close(descriptor);
    if (ok)
        sync_directory(state_dir);
    else
        unlink(new_path);
    return ok;
}

static bool replace(const char *state_dir, const char *boot_id, int64_t now, int descriptor,
                    struct outcome *error_r)
{
    AUTO_FREE struct rate_file *fresh = xcalloc(1, sizeof *fresh);

    memcpy(fresh->boot_id, boot_id, strnlen(boot_id, sizeof fresh->boot_id - 1));
    atomic_store(&fresh->seen_ns, now);
    if (descriptor >= 0)
        retire(descriptor, fresh, now);
    atomic_store(&fresh->magic, RATE_MAGIC);
    return install(state_dir, fresh, error_r);
}

/* Open and map the file if it may be used. Otherwise *descriptor_r is what there is in its place, or -1 with
 * *error_r, and errno, as state_dir_open() has them. */
static struct rate_file *use(const char *state_dir, const char *boot_id, int *descriptor_r,
                             struct outcome *error_r)
{
    AUTO_FREE char *path = path_of(state_dir, NAME);

    *descriptor_r = state_dir_open(path, O_RDWR, error_r);
    return *descriptor_r < 0 ? NULL : map_valid(*descriptor_r, boot_id);
}

static struct rate_file *map_or_replace(const char *state_dir, const char *boot_id, int64_t now,
                                        int *descriptor_r, struct outcome *error_r)
{
    /* another process may have made it meanwhile */
    struct rate_file *file = use(state_dir, boot_id, descriptor_r, error_r);

    if (file != NULL)
        return file;
    /* a link, a device or a pipe is replaced like a missing file */
    if (*descriptor_r < 0 && errno != ENOENT && errno != ELOOP)
        return NULL;
    bool replaced = replace(state_dir, boot_id, now, *descriptor_r, error_r);
    if (*descriptor_r >= 0)
        close(*descriptor_r);
    if (!replaced)
        return NULL;
    file = use(state_dir, boot_id, descriptor_r, error_r);
    if (file == NULL && *descriptor_r >= 0) {
        cannot(error_r, "map", state_dir, NAME);
        close(*descriptor_r);
    }
    return file;
}

struct rate_file *rate_file_map(const char *state_dir, const char *boot_id, int64_t now, int *descriptor_r,
                                struct outcome *error_r)
{
    struct rate_file *file = use(state_dir, boot_id, descriptor_r, error_r);

    if (file != NULL)
        return file;
    if (*descriptor_r >= 0)
        close(*descriptor_r);
    AUTO_CLOSE int lock = rate_file_lock(state_dir, error_r);
    return lock < 0 ? NULL : map_or_replace(state_dir, boot_id, now, descriptor_r, error_r);
}

void rate_file_unmap(struct rate_file *file)
{
    if (file == NULL)
        return;
    map_guard_remove(file);
    munmap(file, sizeof *file);
}
