#include "base/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/schema.h"
#include "base/store_file.h"
#include "base/xalloc.h"

#define BUSY_WAIT_MS 30000
#define OPEN_ATTEMPTS 5 /* each but the last ended in a file that somebody moved away under us */

/*
 * Who checkpoints: whoever closes its store, its own work done, while the WAL is longer than CHECKPOINT_PAGES; a process
 * that keeps its store open does so in store_commit() from CHECKPOINT_PAGES_MOST on. Only one does at a time, the others
 * pass by.
 *
 * The bound is low because a process that opens the file when nobody else has it open reads the whole WAL, and the WAL
 * has to be truncated because that process cannot know how much of it is in the database already (nBackfill of the
 * wal-index does not outlive the last process).
 */
#define CHECKPOINT_PAGES 250
#define CHECKPOINT_PAGES_MOST 1000

struct statement {
    const char *sql;
    sqlite3_stmt *prepared;
};

/* One opened file. A retired one stays until store_close(): callers may still hold statements of it. */
struct connection {
    struct connection *retired;
    sqlite3 *database;
    struct statement *statements;
    size_t statement_count;
};

struct store {
    char *path;
    struct connection *current;
    bool durable; /* the connection runs with synchronous=FULL */
    bool suspect; /* SQLite spoke of corruption: look before the next transaction */
    int wal_pages;
    unsigned random;
    int64_t busy_until_ms;
    int64_t busy_wait_ms;
};

static const char *remedy(int result, int system_error)
{
    switch (result & 0xff) {
    case SQLITE_FULL:
        return "free some space on its file system";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "the state directory and every state.db file in it must belong to and be writable for the "
               "user that "
               "this program runs as";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return "another process has held it for too long: find it with 'fuser -v' on this file";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "it is moved aside and a new one begun";
    case SQLITE_IOERR:
        return system_error == ENOSPC || system_error == EDQUOT ? "free some space on its file system"
                                                                : "check disk, space and the kernel log";
    default:
        return "see the text of the error";
    }
}

void store_error(struct store *store, const char *verb, struct outcome *error_r)
{
    sqlite3 *database = store->current->database;
    int result = sqlite3_extended_errcode(database);
    int system_error = sqlite3_system_errno(database);

    if ((result & 0xff) == SQLITE_CORRUPT || (result & 0xff) == SQLITE_NOTADB)
        store->suspect = true;
    outcome_local(error_r, "4.3.0", "cannot %s in %s as user id %ld: %s (SQLite %d%s%s); %s", verb,
                  store->path, (long)geteuid(), sqlite3_errmsg(database), result, system_error ? ", " : "",
                  system_error ? strerror(system_error) : "", remedy(result, system_error));
}

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
static int wait_for_turn(void *context, int count)
{
    struct store *store = context;
    int64_t now = clock_monotonic_ms();

    if (count == 0)
        store->busy_until_ms = now + store->busy_wait_ms;
    if (now >= store->busy_until_ms)
        return 0;
    usleep(100 + random_below(store, count < 100 ? 2000 : count < 1000 ? 1000 : 400));
    return 1;
}

static int note_wal_pages(void *context, sqlite3 *database, const char *name, int pages)
{
    struct store *store = context;

    (void)database;
    (void)name;
    store->wal_pages = pages;
    return SQLITE_OK;
}

/* The slow part, writing and syncing the pages, is done while others read and write. To truncate the WAL everybody
 * has to be kept out for a moment: if somebody is there the next process may do it, unless the WAL has become long. */
static void checkpoint(struct store *store)
{
    sqlite3 *database = store->current->database;
    int pages = 0, done = 0;

    store->busy_wait_ms = 0;
    if (sqlite3_wal_checkpoint_v2(database, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &done) == SQLITE_OK) {
        bool insist = pages >= CHECKPOINT_PAGES_MOST;
        store->busy_wait_ms = insist ? 1000 : 0;
        if (done == pages || insist)
            sqlite3_wal_checkpoint_v2(database, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    store->busy_wait_ms = BUSY_WAIT_MS;
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

static bool execute(struct store *store, const char *sql, const char *verb, struct outcome *error_r)
{
    if (sqlite3_exec(store->current->database, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    store_error(store, verb, error_r);
    return false;
}

/* -1 with *error_r set on failure. The first read of all: it opens WAL and shared memory, and meets a file
 * that is no database. */
static int read_version(struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *statement = NULL;
    int version = -1;

    if (sqlite3_prepare_v2(store->current->database, "PRAGMA user_version", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int(statement, 0);
    else
        store_error(store, "read", error_r);
    sqlite3_finalize(statement);
    return version;
}

/* One of many processes that find an old or empty file brings it up to date; the others wait and find nothing
 * left to do. user_version is part of the transaction: a kill at any point leaves a file that the next one
 * completes. */
static bool migrate(struct store *store, struct outcome *error_r)
{
    AUTO_CLOSE int lock = store_file_lock(store->path, error_r);
    int64_t give_up_ms = clock_monotonic_ms() + BUSY_WAIT_MS;
    int result;

    if (lock < 0)
        return false;
    /* SQLite does not wait for every lock that this needs; whoever looks at the file holds one for a moment
     */
    while ((result = sqlite3_exec(store->current->database, "PRAGMA journal_mode=WAL", NULL, NULL, NULL)) ==
               SQLITE_BUSY &&
           clock_monotonic_ms() < give_up_ms)
        usleep(1000 + random_below(store, 2000));
    if (result != SQLITE_OK) {
        store_error(store, "switch to write-ahead logging", error_r);
        return false;
    }
    if (!execute(store, "BEGIN IMMEDIATE", "begin the schema", error_r))
        return false;
    int version = read_version(store, error_r);
    bool well = version >= 0;
    for (int step = version; well && step < schema_version; step++) {
        AUTO_FREE char *done = xasprintf("PRAGMA user_version=%d", step + 1);
        well = execute(store, schema_migrations[step], "bring the schema up to date", error_r) &&
               execute(store, done, "bring the schema up to date", error_r);
    }
    well = well && execute(store, "COMMIT", "bring the schema up to date", error_r);
    if (!well)
        store_rollback(store);
    return well;
}

static bool check_schema(struct store *store, struct outcome *error_r)
{
    int version = read_version(store, error_r);

    if (version < 0)
        return false;
    if (version > schema_version) {
        outcome_local(
            error_r, "4.3.0",
            "%s has schema version %d, this program knows versions up to %d: upgrade postfix-sendpost, or "
            "move the file away to begin a new one",
            store->path, version, schema_version);
        return false;
    }
    return version == schema_version || migrate(store, error_r);
}

static bool has_moved(struct store *store)
{
    int moved = 0;

    return sqlite3_file_control(store->current->database, "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
               SQLITE_OK &&
           moved != 0;
}

/* Somebody moved the file aside between our look at it and its opening. */
static bool vanished(struct store *store)
{
    sqlite3 *database = store->current->database;

    return sqlite3_errcode(database) == SQLITE_CANTOPEN && sqlite3_system_errno(database) == ENOENT;
}

/* The path may begin with anything: "file:" at its front must not be read as a URI. Hence no SQLITE_OPEN_URI.
 */
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
        store_file_error("write", store->path, access(store->path, W_OK) == 0 ? EROFS : errno, error_r);
        return false;
    }
    sqlite3_busy_handler(connection->database, wait_for_turn, store);
    sqlite3_file_control(connection->database, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    sqlite3_db_config(connection->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_hook(connection->database, note_wal_pages,
                     store); /* also switches automatic checkpoints off */
    store->suspect = false;
    store->durable = false;
    return check_schema(store, error_r) &&
           execute(store, "PRAGMA synchronous=NORMAL", "set up", error_r); /* as STORE_NORMAL promises */
}

static void drop_connection(struct store *store)
{
    if (store->current != NULL)
        store->current = connection_free(store->current);
}

static bool create_if_missing(struct store *store, struct outcome *error_r)
{
    struct stat status;

    if (stat(store->path, &status) == 0)
        return true;
    AUTO_CLOSE int lock = store_file_lock(store->path, error_r);
    return lock >= 0 && store_file_create(store->path, error_r);
}

/* On success the new connection is the current one, and any other before it is retired. */
static bool connect_to_file(struct store *store, struct outcome *error_r)
{
    for (int attempt = 1; attempt <= OPEN_ATTEMPTS; attempt++) {
        bool moved = false;
        if (!create_if_missing(store, error_r))
            return false;
        bool well = open_connection(store, error_r);
        bool replaced = store->current->database != NULL && (has_moved(store) || vanished(store));
        if (well && !replaced)
            return true;
        bool suspect = store->suspect;
        drop_connection(store);
        if (suspect && !replaced) {
            struct outcome move_error;
            if (!store_file_move_aside(store->path, &moved, &move_error)) {
                *error_r = move_error;
                return false;
            }
        } else if (!replaced) {
            return false;
        }
    }
    outcome_local(error_r, "4.3.0", "%s is replaced again and again while it is opened: see who does that",
                  store->path);
    return false;
}

bool store_open(struct store **store_r, const char *state_dir, struct outcome *error_r)
{
    struct store *store = xcalloc(1, sizeof *store);

    *store_r = NULL;
    store->path = xasprintf("%s/state.db", state_dir);
    store->random = (unsigned)getpid() * 2654435761u ^ (unsigned)clock_monotonic_ms();
    store->busy_wait_ms = BUSY_WAIT_MS;
    if (!connect_to_file(store, error_r)) {
        store_close(store);
        return false;
    }
    *store_r = store;
    return true;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store->current != NULL) {
        store_rollback(store);
        if (store->wal_pages >= CHECKPOINT_PAGES)
            checkpoint(store);
    }
    while (store->current != NULL)
        drop_connection(store);
    free(store->path);
    free(store);
}

/* --- transactions ----------------------------------------------------------------------------- */

/* A long-lived process must not write on into a file that was deleted, replaced or found corrupt. */
static bool stay_current(struct store *store, struct outcome *error_r)
{
    bool moved;

    if (store->suspect && !has_moved(store) && !store_file_move_aside(store->path, &moved, error_r))
        return false;
    store->suspect = false;
    return !has_moved(store) || connect_to_file(store, error_r);
}

static bool set_durability(struct store *store, bool durable, struct outcome *error_r)
{
    if (store->durable == durable)
        return true;
    if (!execute(store, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                 "set the durability", error_r))
        return false;
    store->durable = durable;
    return true;
}

bool store_begin(struct store *store, enum store_durability durability, struct outcome *error_r)
{
    sqlite3_stmt *begin;

    return stay_current(store, error_r) && set_durability(store, durability == STORE_DURABLE, error_r) &&
           (begin = store_statement(store, "BEGIN IMMEDIATE", error_r)) != NULL &&
           store_run(store, begin, error_r);
}

bool store_commit(struct store *store, struct outcome *error_r)
{
    struct outcome ignored;
    sqlite3_stmt *commit = store_statement(store, "COMMIT", error_r);

    if (commit == NULL || !store_run(store, commit, error_r)) {
        store_rollback(store);
        return false;
    }
    set_durability(store, false, &ignored); /* statements outside a transaction are STORE_NORMAL */
    if (store->wal_pages >= CHECKPOINT_PAGES_MOST)
        checkpoint(store);
    return true;
}

bool store_in_transaction(const struct store *store)
{
    return sqlite3_get_autocommit(store->current->database) == 0;
}

void store_rollback(struct store *store)
{
    struct outcome ignored;

    if (store->current->database == NULL || !store_in_transaction(store))
        return;
    sqlite3_exec(store->current->database, "ROLLBACK", NULL, NULL,
                 NULL); /* fails only when SQLite did it already */
    set_durability(store, false, &ignored);
}

/* --- statements ------------------------------------------------------------------------------- */

sqlite3_stmt *store_statement(struct store *store, const char *sql, struct outcome *error_r)
{
    struct connection *connection = store->current;
    sqlite3_stmt *prepared = NULL;

    for (size_t i = 0; i < connection->statement_count; i++)
        if (connection->statements[i].sql == sql) {
            prepared = connection->statements[i].prepared;
            sqlite3_reset(prepared);
            sqlite3_clear_bindings(prepared);
            return prepared;
        }
    if (sqlite3_prepare_v3(connection->database, sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared, NULL) !=
        SQLITE_OK) {
        store_error(store, "prepare a statement", error_r);
        return NULL;
    }
    connection->statements =
        xrealloc(connection->statements, (connection->statement_count + 1) * sizeof *connection->statements);
    connection->statements[connection->statement_count++] = (struct statement){sql, prepared};
    return prepared;
}

static int step(struct store *store, sqlite3_stmt *statement, const char *verb, struct outcome *error_r)
{
    int result = sqlite3_step(statement);

    if (result == SQLITE_ROW)
        return 1;
    if (result != SQLITE_DONE)
        store_error(store, verb, error_r);
    sqlite3_reset(statement);
    return result == SQLITE_DONE ? 0 : -1;
}

int store_step(struct store *store, sqlite3_stmt *statement, struct outcome *error_r)
{
    return step(store, statement, "read", error_r);
}

bool store_run(struct store *store, sqlite3_stmt *statement, struct outcome *error_r)
{
    int row = step(store, statement, "write", error_r);

    sqlite3_reset(statement);
    return row >= 0;
}

sqlite3 *store_handle(struct store *store)
{
    return store->current->database;
}

char *store_get(struct store *store, const char *key)
{
    struct outcome ignored;
    char *value = NULL;
    sqlite3_stmt *get = store_statement(store, "SELECT value FROM meta WHERE key = ?", &ignored);

    if (get == NULL)
        return NULL;
    sqlite3_bind_text(get, 1, key, -1, SQLITE_STATIC);
    if (store_step(store, get, &ignored) == 1)
        value = xstrdup((const char *)sqlite3_column_text(get, 0));
    sqlite3_reset(get);
    sqlite3_clear_bindings(get);
    return value;
}

bool store_put(struct store *store, const char *key, const char *value, struct outcome *error_r)
{
    sqlite3_stmt *put =
        value != NULL
            ? store_statement(
                  store,
                  "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                  error_r)
            : store_statement(store, "DELETE FROM meta WHERE key = ?", error_r);

    if (put == NULL)
        return false;
    sqlite3_bind_text(put, 1, key, -1, SQLITE_STATIC);
    if (value != NULL)
        sqlite3_bind_text(put, 2, value, -1, SQLITE_STATIC);
    bool well = store_run(store, put, error_r);
    sqlite3_clear_bindings(put);
    return well;
}
