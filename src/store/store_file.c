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
#include "base/state_dir.h"
#include "base/xalloc.h"

#define LOOK_WAIT_MS 30000

int store_file_lock(const char *path, int64_t give_up_ms, struct outcome *error_r)
{
    AUTO_FREE char *lock_path = xasprintf("%s.lock", path);
    int descriptor = state_dir_open(lock_path, O_RDWR | O_CREAT, error_r);

    if (descriptor < 0)
        return -1;
    while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        if ((error != EWOULDBLOCK && error != EINTR) || clock_monotonic_ms() > give_up_ms) {
            close(descriptor);
            state_dir_error("lock", lock_path, error, error_r);
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
        state_dir_error("remove", leftover, errno, error_r);
        return false;
    }
    return true;
}

bool store_file_create(const char *path, struct outcome *error_r)
{
    struct stat status;

    if (lstat(path, &status) == 0)
        return true;
    if (!remove_leftover(path, "-wal", error_r) || !remove_leftover(path, "-shm", error_r) ||
        !remove_leftover(path, "-journal", error_r))
        return false;
    /* O_EXCL: a descriptor of a file that somebody has open must not be closed, that would drop SQLite's
     * locks on it */
    AUTO_CLOSE int descriptor = state_dir_open(path, O_RDWR | O_CREAT | O_EXCL, error_r);
    return descriptor >= 0;
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
            state_dir_error("move aside", from, errno, error_r);
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
