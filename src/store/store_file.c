#include "store/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define LOOK_WAIT_MS 30000
#define FILE_MODE 0640

static const char *remedy(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "create the directory that state-dir names: install -d -m 0750 -o USER DIRECTORY";
    case EACCES:
    case EPERM:
        return "give the state directory and the files in it to the user that this program runs as";
    case EROFS:
        return "mount its file system writable, or name another state-dir";
    case ENOSPC:
    case EDQUOT:
        return "free some space on its file system";
    case EWOULDBLOCK:
        return "another process has held it for too long: find it with 'fuser -v' on this file";
    default:
        return "check the file system and the kernel log";
    }
}

void store_file_error(const char *verb, const char *path, int error, struct outcome *error_r)
{
    outcome_local(error_r, "4.3.0", "cannot %s %s as user id %ld: %s; %s", verb, path, (long)geteuid(),
                  strerror(error), remedy(error));
}

/* A person may be the first to open the store as root; the daemons must be able to write it all the same. */
static bool give_to_directory_owner(const char *path, int descriptor)
{
    AUTO_FREE char *directory = xstrdup(path);
    char *slash = strrchr(directory, '/');
    struct stat status;

    if (geteuid() != 0 || slash == NULL)
        return true;
    *slash = '\0';
    return stat(*directory ? directory : "/", &status) == 0 &&
           fchown(descriptor, status.st_uid, status.st_gid) == 0;
}

int store_file_lock(const char *path, int64_t give_up_ms, struct outcome *error_r)
{
    AUTO_FREE char *lock_path = xasprintf("%s.lock", path);
    int descriptor = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);

    if (descriptor < 0) {
        store_file_error("open", lock_path, errno, error_r);
        return -1;
    }
    if (!give_to_directory_owner(path, descriptor)) {
        store_file_error("change the owner of", lock_path, errno, error_r);
        close(descriptor);
        return -1;
    }
    while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        if ((error != EWOULDBLOCK && error != EINTR) || clock_monotonic_ms() > give_up_ms) {
            close(descriptor);
            store_file_error("lock", lock_path, error, error_r);
            return -1;
        }
        usleep(2000);
    }
    return descriptor;
}

static bool remove_leftover(const char *path, const char *suffix, struct outcome *error_r)
{
    AUTO_FREE char *leftover = xasprintf("%s%s", path, suffix);

    if (unlink(leftover) != 0 && errno != ENOENT) {
        store_file_error("remove", leftover, errno, error_r);
        return false;
    }
    return true;
}

bool store_file_create(const char *path, struct outcome *error_r)
{
    struct stat status;

    if (stat(path, &status) == 0)
        return true;
    if (!remove_leftover(path, "-wal", error_r) || !remove_leftover(path, "-shm", error_r) ||
        !remove_leftover(path, "-journal", error_r))
        return false;
    /* O_EXCL: a descriptor of a file that somebody has open must not be closed, that would drop SQLite's
     * locks on it */
    AUTO_CLOSE int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (descriptor < 0 || fchmod(descriptor, FILE_MODE) != 0 || !give_to_directory_owner(path, descriptor)) {
        store_file_error("create", path, errno, error_r);
        return false;
    }
    return true;
}

/* A second opinion on a connection of its own. Only SQLite's own words for corruption count as such: trouble
 * with memory, disk or locks must not cost the state. */
static bool is_corrupt(const char *path)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *check = NULL;
    bool corrupt = false;

    int result = sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK) {
        int on = 1;
        sqlite3_busy_timeout(database, LOOK_WAIT_MS);
        sqlite3_file_control(database, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
        sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        result = sqlite3_prepare_v2(database, "PRAGMA integrity_check(1)", -1, &check, NULL);
    }
    if (result == SQLITE_OK)
        result = sqlite3_step(check);
    if (result == SQLITE_ROW) {
        const unsigned char *verdict = sqlite3_column_text(check, 0);
        corrupt = verdict != NULL && strcmp((const char *)verdict, "ok") != 0;
    } else {
        corrupt = (result & 0xff) == SQLITE_CORRUPT || (result & 0xff) == SQLITE_NOTADB;
    }
    sqlite3_finalize(check);
    sqlite3_close(database);
    return corrupt;
}

static char *name_aside(const char *path)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    struct stat status;

    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    char *aside = xasprintf("%s.corrupt-%s", path, stamp);
    for (unsigned count = 2; lstat(aside, &status) == 0; count++) {
        cleanup_free(&aside);
        aside = xasprintf("%s.corrupt-%s.%u", path, stamp, count);
    }
    return aside;
}

/* The database goes first: whoever opens it afterwards finds a new one, and whoever has it open finds by
 * SQLITE_FCNTL_HAS_MOVED that its -wal may be another's. */
static bool rename_all(const char *path, const char *aside, struct outcome *error_r)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        AUTO_FREE char *from = xasprintf("%s%s", path, suffixes[i]);
        AUTO_FREE char *to = xasprintf("%s%s", aside, suffixes[i]);
        if (rename(from, to) != 0 && (errno != ENOENT || i == 0)) {
            store_file_error("move aside", from, errno, error_r);
            return false;
        }
    }
    return true;
}

bool store_file_move_aside(const char *path, char **aside_r, struct outcome *error_r)
{
    *aside_r = NULL;
    AUTO_CLOSE int lock = store_file_lock(path, clock_monotonic_ms() + LOOK_WAIT_MS, error_r);
    if (lock < 0)
        return false;
    if (!is_corrupt(path))
        return true;

    AUTO_FREE char *aside = name_aside(path);
    if (!rename_all(path, aside, error_r))
        return false;
    *aside_r = xstrdup(aside);
    return true;
}
