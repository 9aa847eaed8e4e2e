#include "store/store_file.h"

#include <dirent.h>
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
#include "store/schema.h"
#include "store/store.h"

#define LOOK_WAIT_MS 30000
#define ASIDE ".corrupt-" /* and date */
#define NOTE ".salvage"

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

/* --- a corrupt one --------------------------------------------------------------------------------- */

/* Only SQLite's own words for corruption count as such: trouble with memory, disk or locks must not cost the
 * state. Nor may a file of another version: what this program takes for damage may be a form of its own. */
static bool is_corrupt(sqlite3 *database)
{
    sqlite3_stmt *check = NULL;
    bool corrupt = false;

    int result = sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &check, NULL);
    if (result == SQLITE_OK && (result = sqlite3_step(check)) == SQLITE_ROW) {
        int version = sqlite3_column_int(check, 0);
        sqlite3_finalize(check);
        check = NULL;
        if (version != 0 && version != SCHEMA_VERSION)
            return false;
        result = sqlite3_prepare_v2(database, "PRAGMA integrity_check(1)", -1, &check, NULL);
        if (result == SQLITE_OK)
            result = sqlite3_step(check);
    }
    if (result == SQLITE_ROW) {
        const unsigned char *verdict = sqlite3_column_text(check, 0);
        corrupt = verdict != NULL && strcmp((const char *)verdict, "ok") != 0;
    } else {
        corrupt = (result & 0xff) == SQLITE_CORRUPT || (result & 0xff) == SQLITE_NOTADB;
    }
    sqlite3_finalize(check);
    return corrupt;
}

/* A second opinion, on a connection of its own. */
static bool looks_corrupt(const char *path)
{
    sqlite3 *database = NULL;
    int on = 1;

    int result = sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK) {
        sqlite3_busy_timeout(database, LOOK_WAIT_MS);
        sqlite3_file_control(database, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
        sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    bool corrupt = result == SQLITE_OK && is_corrupt(database);
    sqlite3_close(database);
    return corrupt;
}

/* The name behind path, STAMPed. */
static char *name_aside(const char *path)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    struct stat status;

    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    char *aside = xasprintf("%s" ASIDE "%s", path, stamp);
    for (unsigned count = 2; lstat(aside, &status) == 0; count++) {
        cleanup_free(&aside);
        aside = xasprintf("%s" ASIDE "%s.%u", path, stamp, count);
    }
    return aside;
}

static bool exists(const char *path, const char *suffix)
{
    AUTO_FREE char *name = xasprintf("%s%s", path, suffix);
    struct stat status;

    return lstat(name, &status) == 0;
}

static bool rename_one(const char *path, const char *aside, const char *suffix, struct outcome *error_r)
{
    AUTO_FREE char *from = xasprintf("%s%s", path, suffix);
    AUTO_FREE char *to = xasprintf("%s%s", aside, suffix);

    if (rename(from, to) == 0 || errno == ENOENT)
        return true;
    state_dir_error("move aside", from, errno, error_r);
    return false;
}

static void sync_directory(const char *path)
{
    AUTO_FREE char *directory = xstrdup(path);
    char *slash = strrchr(directory, '/');

    if (slash != NULL)
        *slash = '\0';
    AUTO_CLOSE int descriptor = open(slash != NULL ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0)
        fsync(descriptor);
}

/*
 * The note that says to which name the file is moved, and that what it holds is still to be brought over. It
 * is on disk before the first rename and stays until the salvage is committed, so that neither can be
 * forgotten half-way.
 */
static bool write_note(const char *path, const char *aside, struct outcome *error_r)
{
    AUTO_FREE char *note = xasprintf("%s" NOTE, path);
    AUTO_FREE char *line = xasprintf("%s\n", aside + strlen(path));
    AUTO_CLOSE int descriptor = state_dir_open(note, O_WRONLY | O_CREAT | O_TRUNC, error_r);

    if (descriptor < 0)
        return false;
    if (write(descriptor, line, strlen(line)) != (ssize_t)strlen(line) || fsync(descriptor) != 0) {
        state_dir_error("write", note, errno, error_r);
        unlink(note);
        return false;
    }
    sync_directory(path);
    return true;
}

char *store_file_to_salvage(const char *path)
{
    char line[256];
    struct outcome ignored;
    AUTO_FREE char *note = xasprintf("%s" NOTE, path);
    AUTO_CLOSE int descriptor = state_dir_open(note, O_RDONLY, &ignored);
    ssize_t length = descriptor < 0 ? -1 : read(descriptor, line, sizeof line - 1);

    if (descriptor < 0)
        return NULL;
    line[length > 0 ? length : 0] = '\0';
    char *end = strchr(line, '\n');
    if (end == NULL || strncmp(line, ASIDE, strlen(ASIDE)) != 0 || strchr(line, '/') != NULL)
        return xstrdup(""); /* its writer died, and so nothing was moved */
    *end = '\0';
    return xasprintf("%s%s", path, line);
}

bool store_file_forget_salvage(const char *path, struct outcome *error_r)
{
    AUTO_FREE char *note = xasprintf("%s" NOTE, path);

    if (unlink(note) == 0 || errno == ENOENT) {
        sync_directory(path);
        return true;
    }
    state_dir_error("remove", note, errno, error_r);
    return false;
}

/*
 * The database goes first: whoever opens it afterwards finds a new one, and whoever has it open finds by
 * SQLITE_FCNTL_HAS_MOVED that its -wal may be another's. A power cut may have kept any of the renames. No new
 * file is made before all are done, so one that stands there without its -wal is the old one.
 */
static bool finish_move(const char *path, const char *aside, struct outcome *error_r)
{
    if (!exists(aside, "") && !exists(aside, "-wal") && !looks_corrupt(path))
        return store_file_forget_salvage(path, error_r);
    if (!exists(aside, "")) {
        if (!rename_one(path, aside, "", error_r))
            return false;
    } else if (exists(path, "")) {
        return true; /* the new one */
    }
    if (!exists(aside, "-wal") && !rename_one(path, aside, "-wal", error_r))
        return false;
    if (!rename_one(path, aside, "-shm", error_r))
        return false;
    sync_directory(path);
    return true;
}

bool store_file_settle(const char *path, struct outcome *error_r)
{
    AUTO_FREE char *aside = store_file_to_salvage(path);

    if (aside == NULL)
        return true;
    return *aside == '\0' ? store_file_forget_salvage(path, error_r) : finish_move(path, aside, error_r);
}

bool store_file_move_aside(const char *path, struct outcome *error_r)
{
    AUTO_CLOSE int lock = store_file_lock(path, clock_monotonic_ms() + LOOK_WAIT_MS, error_r);
    AUTO_FREE char *pending = NULL;

    if (lock < 0 || !store_file_settle(path, error_r))
        return false;
    pending = store_file_to_salvage(path);
    if (pending == NULL && exists(path, "") && looks_corrupt(path)) {
        AUTO_FREE char *aside = name_aside(path);
        return write_note(path, aside, error_r) && finish_move(path, aside, error_r);
    }
    if (pending == NULL || !exists(path, "") || !looks_corrupt(path))
        return true;
    /* the new one broke, too, before the salvage was through: what it got is in the old one still */
    AUTO_FREE char *broken = name_aside(path);
    return rename_one(path, broken, "", error_r) && rename_one(path, broken, "-wal", error_r) &&
           rename_one(path, broken, "-shm", error_r);
}

struct store_leftovers store_leftovers(const char *state_dir)
{
    struct store_leftovers found = {0};
    AUTO_FREE char *path = xasprintf("%s/state.db", state_dir);
    DIR *stream = opendir(state_dir);
    const struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (strncmp(entry->d_name, "state.db" ASIDE, strlen("state.db" ASIDE)) != 0 ||
            (length > 4 && (strcmp(entry->d_name + length - 4, "-wal") == 0 ||
                            strcmp(entry->d_name + length - 4, "-shm") == 0)))
            continue;
        found.count++;
        if (strcmp(entry->d_name, found.latest) > 0)
            snprintf(found.latest, sizeof found.latest, "%.63s", entry->d_name);
    }
    if (stream != NULL)
        closedir(stream);
    found.unfinished = exists(path, NOTE);
    return found;
}
