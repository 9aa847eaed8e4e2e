#include "store/store_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/state_dir.h"
#include "base/xalloc.h"
#include "store/schema.h"
#include "store/store_file.h"
#include "store/store_salvage.h"

#define STEPS 4000      /* of SQLite's machine between two looks at the clock: less than a millisecond */
#define OPEN_ATTEMPTS 5 /* each but the last ended in a file that somebody moved away under us */

/*
 * Who checkpoints: whoever closes its store, its own work done, while the WAL is longer than CHECKPOINT_CLOSE
 * pages; whoever rests between two jobs from CHECKPOINT_REST on; and a process that has no rest does so in
 * store_commit() from CHECKPOINT_BUSY on. For each checkpoint waits for the disk twice, and the more commits
 * it takes together, the less often the same pages are written. Only one does at a time, the others pass by.
 *
 * The bound is low because a process that opens the file when nobody else has it open reads the whole WAL,
 * and the WAL has to be truncated because that process cannot know how much of it is in the database already
 * (nBackfill of the wal-index does not outlive the last process).
 */
#define CHECKPOINT_CLOSE 250
#define CHECKPOINT_REST 1000
#define CHECKPOINT_BUSY 16000
#define CHECKPOINT_INSIST 4000

/* --- waiting ---------------------------------------------------------------------------------- */

static unsigned random_below(struct store *store, unsigned bound)
{
    store->random = store->random * 1103515245u + 12345u;
    return (store->random >> 16) % bound;
}

/*
 * SQLite keeps no queue of those who wait for a lock. Short random pauses give everybody the same chance at
 * each release, and a pause that shrinks with the time already waited lets the patient ones win over
 * newcomers.
 */
#define LOOK_US 2000

static int wait_for_turn(void *context, int count)
{
    struct store *store = context;
    int64_t now = clock_monotonic_ms();

    if (count == 0)
        store->busy_until_ms = now + store->busy_wait_ms;
    if (now >= store->busy_until_ms)
        return 0;
    int64_t begun_us = clock_monotonic_us();
    usleep(100 + random_below(store, count < 100 ? LOOK_US : count < 1000 ? 1000 : 400));
    store->waited_us += clock_monotonic_us() - begun_us;
    return 1;
}

/* Everybody who waits has looked at least once by then. */
void store_give_way(void)
{
    usleep(100 + LOOK_US + LOOK_US / 2);
}

static int note_wal_pages(void *context, sqlite3 *database, const char *name, int pages)
{
    struct store *store = context;

    (void)database;
    (void)name;
    store->wal_pages = pages;
    return SQLITE_OK;
}

/* The slow part, writing and syncing the pages, is done while others read and write. To truncate the WAL
 * everybody has to be kept out for a moment: if somebody is there the next process may do it, unless the WAL
 * has become long. */
void store_checkpoint(struct store *store, enum store_moment moment)
{
    static const int bounds[] = {
        [STORE_BUSY] = CHECKPOINT_BUSY, [STORE_RESTS] = CHECKPOINT_REST, [STORE_CLOSES] = CHECKPOINT_CLOSE};
    sqlite3 *database = store->current->database;
    int pages = 0, done = 0;

    if (store->wal_pages < bounds[moment])
        return;
    store->busy_wait_ms = 0;
    if (sqlite3_wal_checkpoint_v2(database, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &done) == SQLITE_OK) {
        bool insist = pages >= CHECKPOINT_INSIST;
        store->busy_wait_ms = insist ? 1000 : 0;
        if (done == pages || insist)
            sqlite3_wal_checkpoint_v2(database, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    store->busy_wait_ms = STORE_BUSY_WAIT_MS;
    store->wal_pages = 0; /* the next commit tells again */
}

/* --- opening ---------------------------------------------------------------------------------- */

static struct connection *connection_free(struct connection *connection)
{
    struct connection *retired = connection->retired;

    for (size_t i = 0; i < connection->statement_count; i++)
        sqlite3_finalize(connection->statements[i].prepared);
    free(connection->statements);
    sqlite3_close_v2(connection->database);
    free(connection);
    return retired;
}

bool store_execute(struct store *store, const char *sql, const char *verb, struct outcome *error_r)
{
    if (sqlite3_exec(store->current->database, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    store_error(store, verb, error_r);
    return false;
}

/* The first read of all: it opens WAL and shared memory, and meets a file that is no database. */
static bool read_version(struct store *store, int *version_r, struct outcome *error_r)
{
    sqlite3_stmt *statement = NULL;
    bool read = sqlite3_prepare_v2(store->current->database, "PRAGMA user_version", -1, &statement, NULL) ==
                    SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW;

    if (read)
        *version_r = sqlite3_column_int(statement, 0);
    else
        store_error(store, "read", error_r);
    sqlite3_finalize(statement);
    return read;
}

/* One of many processes that find an empty file fills it; the others wait and find nothing left to do.
 * user_version is part of the transaction: a kill at any point leaves a file that the next one completes. */
static bool create_tables(struct store *store, struct outcome *error_r)
{
    AUTO_CLOSE int lock = store_file_lock(store->path, clock_monotonic_ms() + STORE_BUSY_WAIT_MS, error_r);
    int64_t give_up_ms = clock_monotonic_ms() + STORE_BUSY_WAIT_MS;
    int result;

    if (lock < 0)
        return false;
    /* SQLite does not wait for every lock that this needs; whoever looks at the file holds one for a
     * moment */
    while ((result = sqlite3_exec(store->current->database, "PRAGMA journal_mode=WAL", NULL, NULL, NULL)) ==
               SQLITE_BUSY &&
           clock_monotonic_ms() < give_up_ms)
        usleep(1000 + random_below(store, 2000));
    if (result != SQLITE_OK) {
        store_error(store, "switch to write-ahead logging", error_r);
        return false;
    }
    if (!store_execute(store, "BEGIN IMMEDIATE", "begin the schema", error_r))
        return false;
    int version;
    AUTO_FREE char *mark = xasprintf("PRAGMA user_version=%d", SCHEMA_VERSION);
    bool done = read_version(store, &version, error_r) &&
                (version != 0 || (store_execute(store, store_schema, "create the tables", error_r) &&
                                  store_execute(store, mark, "create the tables", error_r)));
    done = done && store_execute(store, "COMMIT", "create the tables", error_r);
    if (!done)
        store_rollback(store);
    return done;
}

static bool check_schema(struct store *store, struct outcome *error_r)
{
    int version;

    if (!read_version(store, &version, error_r))
        return false;
    if (version == 0 && (!create_tables(store, error_r) || !read_version(store, &version, error_r)))
        return false;
    if (version != SCHEMA_VERSION)
        outcome_local(
            error_r, "4.3.0",
            "%s has schema version %d, this program knows version %d: install the postfix-sendpost that "
            "wrote it, or move the file away to begin a new one",
            store->path, version, SCHEMA_VERSION);
    return version == SCHEMA_VERSION;
}

static bool has_moved(struct store *store)
{
    int moved = 0;

    return sqlite3_file_control(store->current->database, "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
               SQLITE_OK &&
           moved != 0;
}

/*
 * Somebody moved the file aside between our look at it and its opening. SQLite that finds no file to write
 * tries again to open one for reading: a new file may be there by then, which we could write. With the file
 * open, it is one beside it that cannot be opened, and that is no sign of a move.
 */
static bool vanished(struct store *store)
{
    sqlite3 *database = store->current->database;
    int ignored;

    if (sqlite3_errcode(database) == SQLITE_CANTOPEN && sqlite3_system_errno(database) == ENOENT)
        return sqlite3_file_control(database, "main", SQLITE_FCNTL_HAS_MOVED, &ignored) != SQLITE_OK;
    return sqlite3_db_readonly(database, "main") == 1 && access(store->path, W_OK) == 0;
}

/* SQLite opens them by their names. */
static bool may_open(const struct store *store, struct outcome *error_r)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        AUTO_FREE char *path = xasprintf("%s%s", store->path, suffixes[i]);
        if (!state_dir_check(path, error_r))
            return false;
    }
    return true;
}

/* The path may begin with anything: "file:" at its front must not be read as a URI. Hence no
 * SQLITE_OPEN_URI. */
static bool open_connection(struct store *store, struct outcome *error_r)
{
    struct connection *connection = xcalloc(1, sizeof *connection);
    int on = 1;

    connection->retired = store->current;
    store->current = connection;
    int result = sqlite3_open_v2(store->path, &connection->database,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (connection->database == NULL) {
        outcome_local(error_r, "4.3.0", "cannot open %s: out of memory", store->path);
        return false;
    }
    sqlite3_extended_result_codes(connection->database, 1);
    if (result != SQLITE_OK) {
        store_error(store, "open the store", error_r);
        return false;
    }
    if (sqlite3_db_readonly(connection->database, "main") == 1) {
        state_dir_error("write", store->path, access(store->path, W_OK) == 0 ? EROFS : errno, error_r);
        return false;
    }
    sqlite3_busy_handler(connection->database, wait_for_turn, store);
    sqlite3_file_control(connection->database, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* also switches automatic checkpoints off */
    sqlite3_wal_hook(connection->database, note_wal_pages, store);
    store->suspect = false;
    store->durable = false;
    /* as STORE_NORMAL promises */
    return check_schema(store, error_r) &&
           store_execute(store, "PRAGMA synchronous=NORMAL", "set up", error_r);
}

static int is_late(void *context)
{
    const struct store *store = context;

    return clock_monotonic_ms() > store->read_until_ms;
}

bool store_connect_to_read(struct store *store, struct outcome *error_r)
{
    struct connection *connection;

    if (!may_open(store, error_r))
        return false;
    store->current = connection = xcalloc(1, sizeof *connection);
    int result =
        sqlite3_open_v2(store->path, &connection->database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (connection->database == NULL) {
        outcome_local(error_r, "4.3.0", "cannot open %s: out of memory", store->path);
        return false;
    }
    if (result != SQLITE_OK) {
        store_error(store, "open the store", error_r);
        return false;
    }
    sqlite3_busy_handler(connection->database, wait_for_turn, store);
    sqlite3_progress_handler(connection->database, STEPS, is_late, store);
    return true;
}

void store_disconnect(struct store *store)
{
    if (store->current != NULL)
        store->current = connection_free(store->current);
}

/* What somebody began and did not finish comes first. */
static bool prepare_file(struct store *store, struct outcome *error_r)
{
    AUTO_FREE char *unfinished = store_file_to_salvage(store->path);
    struct stat status;

    if (unfinished == NULL && lstat(store->path, &status) == 0)
        return true;
    AUTO_CLOSE int lock = store_file_lock(store->path, clock_monotonic_ms() + STORE_BUSY_WAIT_MS, error_r);
    return lock >= 0 && store_file_settle(store->path, error_r) && store_file_create(store->path, error_r);
}

enum salvaged { SALVAGED, SALVAGE_AGAIN, SALVAGE_FAILED };

/*
 * Nobody works on the new file before it has what can be read of the old: what was accepted, say, which would
 * be sent again. One does it, under the lock, and the others wait; if he dies the next one goes on.
 */
static enum salvaged salvage(struct store *store, struct outcome *error_r)
{
    AUTO_FREE char *seen = store_file_to_salvage(store->path), *aside = NULL;
    struct store_salvage_result result;

    if (seen == NULL)
        return SALVAGED;
    AUTO_CLOSE int lock = store_file_lock(store->path, clock_monotonic_ms() + STORE_BUSY_WAIT_MS, error_r);
    if (lock < 0)
        return SALVAGE_FAILED;
    if (has_moved(store))
        return SALVAGE_AGAIN;
    aside = store_file_to_salvage(store->path);
    if (aside == NULL)
        return SALVAGED;
    if (!store_salvage(store->current->database, aside, &result)) {
        store_error(store, "bring over what could be read of a corrupt store", error_r);
        return SALVAGE_FAILED;
    }
    if (!store_file_forget_salvage(store->path, error_r))
        return SALVAGE_FAILED;
    log_line(
        LOG_ERR,
        "%s was corrupt: it is moved to %s and a new one begun, with %d rows that could be read of it%s. "
        "Events that were pending in the unreadable part are not reported ('sqlite3 %s .recover' may "
        "show them). Check the disk; sendpostctl check reminds of the file until it is removed",
        store->path, aside, result.rows, result.complete ? "" : " in time, and not all were", aside);
    return SALVAGED;
}

bool store_connect(struct store *store, struct outcome *error_r)
{
    if (store->suspect && !store_file_move_aside(store->path, error_r))
        return false;
    for (int attempt = 1; attempt <= OPEN_ATTEMPTS; attempt++) {
        enum salvaged salvaged = SALVAGE_FAILED;
        if (!prepare_file(store, error_r) || !may_open(store, error_r))
            return false;
        bool ok = open_connection(store, error_r);
        bool replaced = store->current->database != NULL && (has_moved(store) || vanished(store));
        if (ok && !replaced)
            salvaged = salvage(store, error_r);
        if (salvaged == SALVAGED)
            return true;
        bool suspect = store->suspect;
        store_disconnect(store);
        if (replaced || salvaged == SALVAGE_AGAIN)
            continue;
        if (!suspect || attempt == OPEN_ATTEMPTS || !store_file_move_aside(store->path, error_r))
            return false;
    }
    outcome_local(error_r, "4.3.0", "%s is replaced again and again while it is opened: see who does that",
                  store->path);
    return false;
}

bool store_stay_connected(struct store *store, struct outcome *error_r)
{
    return (!store->suspect && !has_moved(store)) || store_connect(store, error_r);
}
