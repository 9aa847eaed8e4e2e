#include "cut_disk.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"

#define SECTOR 512
#define FILES 8

struct bytes {
    char *data;
    size_t size;
};

/* data NULL: the file was cut to this size */
struct change {
    struct change *next;
    char *data;
    size_t at, size;
};

struct disk_file {
    char *path;
    struct bytes synced;
    bool lasting; /* its name is on the disk */
    struct change *changes, **last;
};

static struct {
    sqlite3_vfs vfs, *usual;
    struct disk_file files[FILES];
    bool (*before)(void *context, enum cut_disk_event event);
    void *context;
    unsigned random;
} disk;

static unsigned random_below(unsigned bound)
{
    disk.random = disk.random * 1103515245u + 12345u;
    return (disk.random >> 16) % bound;
}

/* --- what is noted ------------------------------------------------------------------------------------- */

static void put(struct bytes *bytes, const char *data, size_t at, size_t size)
{
    if (size == 0)
        return;
    if (at + size > bytes->size) {
        bytes->data = xrealloc(bytes->data, at + size);
        memset(bytes->data + bytes->size, 0, at + size - bytes->size);
        bytes->size = at + size;
    }
    memcpy(bytes->data + at, data, size);
}

static void apply(struct bytes *bytes, const struct change *change)
{
    if (change->data != NULL)
        put(bytes, change->data, change->at, change->size);
    else if (change->size < bytes->size)
        bytes->size = change->size;
}

/* Each sector of it has come to the disk or not. */
static void apply_some(struct bytes *bytes, const struct change *change)
{
    if (change->data == NULL) {
        apply(bytes, change);
        return;
    }
    for (size_t at = change->at, end; at < change->at + change->size; at = end) {
        end = (at / SECTOR + 1) * SECTOR;
        if (end > change->at + change->size)
            end = change->at + change->size;
        if (random_below(2) == 0)
            put(bytes, change->data + (at - change->at), at, end - at);
    }
}

static void forget_changes(struct disk_file *file)
{
    while (file->changes != NULL) {
        struct change *change = file->changes;
        file->changes = change->next;
        free(change->data);
        free(change);
    }
    file->last = &file->changes;
}

static void note(struct disk_file *file, const void *data, size_t at, size_t size)
{
    struct change *change = xcalloc(1, sizeof *change);

    *change = (struct change){.at = at, .size = size};
    if (data != NULL)
        change->data = memcpy(xmalloc(size), data, size);
    *file->last = change;
    file->last = &change->next;
}

static struct disk_file *file_of(const char *path)
{
    for (size_t i = 0; i < FILES; i++) {
        struct disk_file *file = &disk.files[i];
        if (file->path != NULL && strcmp(file->path, path) == 0)
            return file;
        if (file->path == NULL) {
            *file = (struct disk_file){.path = xstrdup(path)};
            file->last = &file->changes;
            return file;
        }
    }
    ck_abort_msg("more files than a store has: %s", path);
}

static void forget(struct disk_file *file)
{
    forget_changes(file);
    free(file->synced.data);
    file->synced = (struct bytes){0};
    file->lasting = false;
}

static bool may(enum cut_disk_event event)
{
    return disk.before(disk.context, event);
}

/* --- the files of SQLite ------------------------------------------------------------------------------- */

struct cut_file {
    sqlite3_file base;
    struct disk_file *file;
    sqlite3_file real[]; /* of the usual VFS */
};

static sqlite3_file *real(sqlite3_file *file)
{
    return ((struct cut_file *)file)->real;
}

#define REAL(file) (real(file)->pMethods)

static int cut_close(sqlite3_file *file)
{
    return REAL(file)->xClose(real(file));
}

static int cut_read(sqlite3_file *file, void *data, int size, sqlite3_int64 at)
{
    return REAL(file)->xRead(real(file), data, size, at);
}

static int cut_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
    if (!may(CUT_DISK_WRITE))
        return SQLITE_IOERR_WRITE;
    note(((struct cut_file *)file)->file, data, (size_t)at, (size_t)size);
    return REAL(file)->xWrite(real(file), data, size, at);
}

static int cut_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (!may(CUT_DISK_WRITE))
        return SQLITE_IOERR_TRUNCATE;
    note(((struct cut_file *)file)->file, NULL, 0, (size_t)size);
    return REAL(file)->xTruncate(real(file), size);
}

static int cut_sync(sqlite3_file *file, int flags)
{
    struct disk_file *on_disk = ((struct cut_file *)file)->file;

    if (!may(CUT_DISK_SYNC))
        return SQLITE_IOERR_FSYNC;
    for (const struct change *change = on_disk->changes; change != NULL; change = change->next)
        apply(&on_disk->synced, change);
    forget_changes(on_disk);
    /* with the first sync of a file that it made, SQLite syncs its directory */
    for (size_t i = 0; i < FILES && !on_disk->lasting; i++)
        disk.files[i].lasting = disk.files[i].path != NULL;
    (void)flags; /* no need to wait for the real one */
    return SQLITE_OK;
}

static int cut_size(sqlite3_file *file, sqlite3_int64 *size_r)
{
    return REAL(file)->xFileSize(real(file), size_r);
}

static int cut_lock(sqlite3_file *file, int level)
{
    return REAL(file)->xLock(real(file), level);
}

static int cut_unlock(sqlite3_file *file, int level)
{
    return REAL(file)->xUnlock(real(file), level);
}

static int cut_is_reserved(sqlite3_file *file, int *reserved_r)
{
    return REAL(file)->xCheckReservedLock(real(file), reserved_r);
}

static int cut_control(sqlite3_file *file, int what, void *argument)
{
    return REAL(file)->xFileControl(real(file), what, argument);
}

static int cut_sector(sqlite3_file *file)
{
    return REAL(file)->xSectorSize(real(file));
}

static int cut_kind(sqlite3_file *file)
{
    return REAL(file)->xDeviceCharacteristics(real(file));
}

static int cut_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **map_r)
{
    return REAL(file)->xShmMap(real(file), page, size, extend, map_r);
}

static int cut_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return REAL(file)->xShmLock(real(file), offset, count, flags);
}

static void cut_shm_barrier(sqlite3_file *file)
{
    REAL(file)->xShmBarrier(real(file));
}

static int cut_shm_unmap(sqlite3_file *file, int remove)
{
    return REAL(file)->xShmUnmap(real(file), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* without memory-mapped files */
    .xClose = cut_close,
    .xRead = cut_read,
    .xWrite = cut_write,
    .xTruncate = cut_truncate,
    .xSync = cut_sync,
    .xFileSize = cut_size,
    .xLock = cut_lock,
    .xUnlock = cut_unlock,
    .xCheckReservedLock = cut_is_reserved,
    .xFileControl = cut_control,
    .xSectorSize = cut_sector,
    .xDeviceCharacteristics = cut_kind,
    .xShmMap = cut_shm_map,
    .xShmLock = cut_shm_lock,
    .xShmBarrier = cut_shm_barrier,
    .xShmUnmap = cut_shm_unmap,
};

static int cut_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *flags_r)
{
    struct cut_file *cut = (struct cut_file *)file;

    (void)vfs;
    file->pMethods = NULL;
    int result = disk.usual->xOpen(disk.usual, path, cut->real, flags, flags_r);
    if (result == SQLITE_OK) {
        /* of a temporary file nothing is ever looked for again */
        cut->file = file_of(path != NULL ? path : "temporary");
        file->pMethods = &methods;
    }
    return result;
}

static int cut_delete(sqlite3_vfs *vfs, const char *path, int sync_directory)
{
    (void)vfs;
    forget(file_of(path));
    return disk.usual->xDelete(disk.usual, path, sync_directory);
}

void cut_disk_install(bool (*before)(void *context, enum cut_disk_event event), void *context)
{
    disk.usual = sqlite3_vfs_find("unix");
    disk.vfs = *disk.usual; /* all else is its business, and it is told of itself by its pAppData */
    disk.vfs.zName = "cut_disk";
    disk.vfs.pNext = NULL;
    disk.vfs.szOsFile = (int)sizeof(struct cut_file) + disk.usual->szOsFile;
    disk.vfs.xOpen = cut_open;
    disk.vfs.xDelete = cut_delete;
    disk.before = before;
    disk.context = context;
    disk.random = 1;
    sqlite3_vfs_register(&disk.vfs, 1);
}

void cut_disk_remove(void)
{
    sqlite3_vfs_unregister(&disk.vfs);
    sqlite3_vfs_register(disk.usual, 1);
    for (size_t i = 0; i < FILES && disk.files[i].path != NULL; i++) {
        forget(&disk.files[i]);
        cleanup_free(&disk.files[i].path);
        disk.files[i].path = NULL;
    }
}

void cut_disk_step_aside(bool aside)
{
    sqlite3_vfs_register(aside ? disk.usual : &disk.vfs, 1);
}

/* --- the power cut ------------------------------------------------------------------------------------- */

static void empty(const char *directory)
{
    DIR *stream = opendir(directory);
    const struct dirent *entry;

    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
}

static void write_image(const char *directory, const struct disk_file *file, enum cut_disk_fate fate)
{
    AUTO_FREE char *path = xasprintf("%s/%s", directory, strrchr(file->path, '/') + 1);
    struct bytes image = {0};

    put(&image, file->synced.data != NULL ? file->synced.data : "", 0, file->synced.size);
    for (const struct change *change = file->changes; change != NULL; change = change->next) {
        unsigned chance = fate == CUT_DISK_ALL ? 0 : fate == CUT_DISK_NOTHING ? 1 : random_below(3);
        if (chance == 0)
            apply(&image, change);
        else if (chance == 2)
            apply_some(&image, change);
    }
    AUTO_CLOSE int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(write(descriptor, image.data, image.size), (ssize_t)image.size);
    free(image.data);
}

void cut_disk_cut(const char *directory, enum cut_disk_fate fate)
{
    empty(directory);
    for (size_t i = 0; i < FILES && disk.files[i].path != NULL; i++) {
        const struct disk_file *file = &disk.files[i];
        if (strchr(file->path, '/') == NULL ||
            (!file->lasting && file->synced.size == 0 && file->changes == NULL))
            continue;
        if (file->lasting || fate == CUT_DISK_ALL || (fate == CUT_DISK_SOME && random_below(2) == 0))
            write_image(directory, file, fate);
    }
}
