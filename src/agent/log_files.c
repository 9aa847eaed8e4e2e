#include "agent/log_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define LOOKS 40
#define LOOK_PAUSE_NS 5000000
#define COUNTER_DIGITS 5 /* of mail.log.N at most: a date has more */

static bool is_compressed(const char *path)
{
    size_t length = strlen(path);

    return length > 3 && strcmp(path + length - 3, ".gz") == 0;
}

/* --- names -------------------------------------------------------------------------------------- */

/* N of ".N" and ".N.gz"; -1 for a date, as savelog -d, "postfix logrotate" and logrotate's dateformat write
 * it behind a dot, too. */
static int64_t counter_of(const char *suffix)
{
    size_t digits = *suffix == '.' ? strspn(suffix + 1, "0123456789") : 0;
    bool counts = digits >= 1 && digits <= COUNTER_DIGITS &&
                  (suffix[1 + digits] == '\0' || strcmp(suffix + 1 + digits, ".gz") == 0);

    return counts ? strtoll(suffix + 1, NULL, 10) : -1;
}

static void add_name(struct log_names *names, const char *path, const char *suffix)
{
    struct stat status;

    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return;
    names->items = xrealloc(names->items, (names->count + 1) * sizeof *names->items);
    names->items[names->count++] = (struct log_name){.path = xstrdup(path),
                                                     .device = status.st_dev,
                                                     .inode = status.st_ino,
                                                     .modified_ms = clock_ms(status.st_mtim),
                                                     .number = counter_of(suffix),
                                                     .live = *suffix == '\0'};
}

/* ".1", ".2.gz", "-20261123", ".20261123-000000.gz" */
static bool is_rotation(const char *suffix)
{
    if ((suffix[0] != '.' && suffix[0] != '-') || !isdigit((unsigned char)suffix[1]))
        return false;
    suffix += 1 + strspn(suffix + 1, "0123456789-_:T");
    return *suffix == '\0' || strcmp(suffix, ".gz") == 0;
}

static int by_age(const void *left, const void *right)
{
    const struct log_name *a = left, *b = right;

    if (a->live != b->live)
        return a->live ? 1 : -1;
    if (a->number >= 0 && b->number >= 0 && a->number != b->number)
        return a->number > b->number ? -1 : 1;
    if ((a->number < 0) != (b->number < 0) && a->modified_ms != b->modified_ms)
        return a->modified_ms < b->modified_ms ? -1 : 1;
    return strverscmp(a->path, b->path);
}

/* In order, X.gz comes right behind X. */
static void drop_twins(struct log_names *names)
{
    size_t kept = 0;

    for (size_t i = 0; i < names->count; i++) {
        const char *before = kept > 0 ? names->items[kept - 1].path : "";
        size_t length = strlen(before);
        if (length > 0 && strncmp(names->items[i].path, before, length) == 0 &&
            strcmp(names->items[i].path + length, ".gz") == 0)
            free(names->items[i].path);
        else
            names->items[kept++] = names->items[i];
    }
    names->count = kept;
}

static void read_once(struct log_names *names_r, const char *log_path)
{
    const char *slash = strrchr(log_path, '/');
    const char *base = slash != NULL ? slash + 1 : log_path;
    AUTO_FREE char *directory =
        slash != NULL ? xstrndup(log_path, (size_t)(slash - log_path) + 1) : xstrdup("./");
    DIR *stream = opendir(directory);
    const struct dirent *entry;

    *names_r = (struct log_names){0};
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (strncmp(entry->d_name, base, strlen(base)) != 0)
            continue;
        const char *suffix = entry->d_name + strlen(base);
        AUTO_FREE char *path = xasprintf("%s%s", directory, entry->d_name);
        if (*suffix == '\0' || is_rotation(suffix))
            add_name(names_r, path, suffix);
    }
    if (stream != NULL)
        closedir(stream);
    if (names_r->count > 0) {
        qsort(names_r->items, names_r->count, sizeof *names_r->items, by_age);
        drop_twins(names_r);
    }
}

static bool same(const struct log_names *a, const struct log_names *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].inode != b->items[i].inode || strcmp(a->items[i].path, b->items[i].path) != 0)
            return false;
    return true;
}

bool log_names_read(struct log_names *names_r, const char *log_path)
{
    const struct timespec pause = {.tv_nsec = LOOK_PAUSE_NS};

    read_once(names_r, log_path);
    for (int look = 1; look < LOOKS; look++) {
        struct log_names again;
        read_once(&again, log_path);
        bool rest = same(names_r, &again);
        log_names_clear(names_r);
        *names_r = again;
        if (rest)
            return true;
        nanosleep(&pause, NULL);
    }
    log_names_clear(names_r);
    return false;
}

void log_names_clear(struct log_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i].path);
    free(names->items);
    *names = (struct log_names){0};
}

ptrdiff_t log_names_find(const struct log_names *names, const struct position *position)
{
    ptrdiff_t found = LOG_NAMES_NONE;

    for (size_t i = 0; i < names->count; i++) {
        const struct log_name *name = &names->items[i];
        bool same_file = name->inode == position->inode && name->device == position->device;
        struct log_file file;
        uint32_t length = position->head_length;
        uint64_t hash = position->head_hash;
        if (length == 0)
            return LOG_NAMES_NONE;
        if (!log_file_open(&file, name, 0)) {
            if (errno == ENOENT || errno == ESTALE)
                return LOG_NAMES_STALE; /* it may be just the one */
            if (same_file && errno == EACCES)
                return (ptrdiff_t)i; /* it is still ours to read: whoever opens it is told why he may not */
            continue;
        }
        bool alike = log_file_still(&file, &length, &hash);
        log_file_close(&file);
        if (alike && same_file)
            return (ptrdiff_t)i;
        if (alike)
            found = (ptrdiff_t)i; /* the latest of several: one that was copied twice has grown in between */
    }
    return found;
}

/* --- one file ----------------------------------------------------------------------------------- */

bool log_file_open(struct log_file *file_r, const struct log_name *name, int64_t offset)
{
    struct stat status;

    *file_r = (struct log_file){.descriptor = open(name->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    if (file_r->descriptor < 0)
        return false;
    if (fstat(file_r->descriptor, &status) != 0 || status.st_ino != name->inode ||
        status.st_dev != name->device) {
        close(file_r->descriptor);
        errno = ESTALE;
        return false;
    }
    file_r->name = *name;
    file_r->name.path = xstrdup(name->path);
    file_r->offset = offset;
    if (is_compressed(name->path)) {
        int copy = fcntl(file_r->descriptor, F_DUPFD_CLOEXEC, 0);
        file_r->compressed = copy >= 0 ? gzdopen(copy, "r") : NULL;
        if (file_r->compressed == NULL && copy >= 0)
            close(copy);
        if (file_r->compressed == NULL || gzseek(file_r->compressed, (z_off_t)offset, SEEK_SET) < 0) {
            log_file_close(file_r);
            errno = EIO;
            return false;
        }
    }
    return true;
}

void log_file_close(struct log_file *file)
{
    if (file->compressed != NULL)
        gzclose(file->compressed);
    if (file->descriptor >= 0)
        close(file->descriptor);
    free(file->name.path);
    *file = (struct log_file){.descriptor = -1};
}

ptrdiff_t log_file_read(struct log_file *file, char *buffer, size_t size)
{
    ptrdiff_t length;

    if (file->compressed != NULL) {
        length = gzread(file->compressed, buffer, (unsigned)size);
        if (length < 0)
            errno = EIO;
    } else {
        length = pread(file->descriptor, buffer, size, (off_t)file->offset);
    }
    if (length > 0)
        file->offset += length;
    return length;
}

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash_of(const char *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

bool log_file_still(struct log_file *file, uint32_t *length, uint64_t *hash)
{
    char head[POSITION_HEAD_SIZE];
    ptrdiff_t got;

    if (file->compressed != NULL) {
        z_off_t back = gztell(file->compressed);
        got = gzseek(file->compressed, 0, SEEK_SET) < 0 ? -1 : gzread(file->compressed, head, sizeof head);
        if (gzseek(file->compressed, back, SEEK_SET) < 0)
            return false;
    } else {
        got = pread(file->descriptor, head, sizeof head, 0);
    }
    if (got < 0 || (size_t)got < *length || (*length > 0 && hash_of(head, *length) != *hash))
        return false;
    *length = (uint32_t)got;
    *hash = hash_of(head, *length);
    return true;
}

int64_t log_file_last_line(const struct log_file *file, int64_t size, size_t longest)
{
    AUTO_FREE char *end = xmalloc(longest);
    int64_t from = size > (int64_t)longest ? size - (int64_t)longest : 0;
    ssize_t length = pread(file->descriptor, end, (size_t)(size - from), (off_t)from);
    const char *newline = length > 0 ? memrchr(end, '\n', (size_t)length) : NULL;

    return newline != NULL ? from + (newline - end) + 1 : from;
}

void log_file_error(const char *path, int error, struct outcome *error_r)
{
    if (error == EACCES || error == EPERM)
        outcome_local(error_r, "4.3.0",
                      "cannot read %s as user id %ld: %s; give this user read access (group adm or "
                      "systemd-journal, or 'setfacl -m u:sendpost:r'), also in the rotation's create rule",
                      path, (long)geteuid(), strerror(error));
    else
        outcome_local(error_r, "4.3.0", "cannot read %s: %s%s", path, strerror(error),
                      error == EIO ? "; it is damaged, or the disk is: to go on behind it move it away" : "");
}
