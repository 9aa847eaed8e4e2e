#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/state_dir.h"
#include "base/xalloc.h"
#include "store/store_connection.h"
#include "store/store_file.h"
#include "store/store_release.h"

static char *remedy(const char *path, int result, int system_error)
{
    switch (result & 0xff) {
    case SQLITE_FULL:
        return state_dir_room(path);
    case SQLITE_CANTOPEN: /* of the files that it makes beside the store */
        if (state_dir_lacks_inodes(path))
            return state_dir_room(path);
        /* fall through */
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return xstrdup(
            "the state directory and every state.db file in it must belong to and be writable for the "
            "user that this program runs as");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return xstrdup("another process has held it for too long: find it with 'fuser -v' on this file");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return xstrdup("it is moved aside and a new one begun");
    case SQLITE_IOERR:
        return system_error == ENOSPC || system_error == EDQUOT
                   ? state_dir_room(path)
                   : xstrdup("check disk, space and the kernel log");
    default:
        return xstrdup("see the text of the error");
    }
}

void store_error(struct store *store, const char *verb, struct outcome *error_r)
{
    sqlite3 *database = store->current->database;
    int result = sqlite3_extended_errcode(database);
    int system_error = sqlite3_system_errno(database);
    AUTO_FREE char *mends = remedy(store->path, result, system_error);

    if ((result & 0xff) == SQLITE_CORRUPT || (result & 0xff) == SQLITE_NOTADB)
        store->suspect = true;
    outcome_local(error_r, "4.3.0", "cannot %s in %s as user id %ld: %s (SQLite %d%s%s); %s", verb,
                  store->path, (long)geteuid(), sqlite3_errmsg(database), result, system_error ? ", " : "",
                  system_error ? strerror(system_error) : "", mends);
}

/* --- opening and closing ------------------------------------------------------------------------ */

static void set_up_sqlite(void)
{
    /* it counts its memory under a lock at each allocation, for statistics that nobody here reads */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    store_release_insist();
}

static struct store *new_store(const char *state_dir)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct store *store = xcalloc(1, sizeof *store);

    pthread_once(&once, set_up_sqlite);
    store->path = xasprintf("%s/state.db", state_dir);
    store->random = (unsigned)getpid() * 2654435761u ^ (unsigned)clock_monotonic_ms();
    store->busy_wait_ms = STORE_BUSY_WAIT_MS;
    return store;
}

bool store_open(struct store **store_r, const char *state_dir, struct outcome *error_r)
{
    struct store *store = new_store(state_dir);

    *store_r = NULL;
    if (!store_connect(store, error_r)) {
        store_close(store);
        return false;
    }
    *store_r = store;
    return true;
}

bool store_open_to_read(struct store **store_r, const char *state_dir, int64_t until_ms,
                        struct outcome *error_r)
{
    struct store *store = new_store(state_dir);

    *store_r = NULL;
    store->read_until_ms = until_ms;
    store->busy_wait_ms = STORE_READ_WAIT_MS;
    if (!store_connect_to_read(store, error_r)) {
        store_close(store);
        return false;
    }
    *store_r = store;
    return true;
}

/* Who met corruption and begins no other transaction would leave it to the next process, which meets it as
 * late and leaves it, too. */
static void mend(struct store *store)
{
    struct outcome ignored; /* the next one tries again, and says so */

    if (store->suspect && store->read_until_ms == 0)
        store_connect(store, &ignored);
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store->current != NULL) {
        store_rollback(store);
        mend(store);
    }
    if (store->current != NULL)
        store_checkpoint(store, STORE_CLOSES);
    while (store->current != NULL)
        store_disconnect(store);
    free(store->path);
    free(store);
}

void store_rest(struct store *store)
{
    struct connection *connection = store->current;

    store_rollback(store);
    for (size_t i = 0; i < connection->statement_count; i++)
        /* a SELECT left open would hold up the checkpoint */
        sqlite3_reset(connection->statements[i].prepared);
    store_checkpoint(store, STORE_RESTS);
    store->waited_us = 0; /* nobody's delivery */
}

bool store_renew(struct store *store, struct outcome *error_r)
{
    return store_stay_connected(store, error_r);
}

/* --- transactions ----------------------------------------------------------------------------- */

static bool set_durability(struct store *store, bool durable, struct outcome *error_r)
{
    if (store->durable == durable)
        return true;
    if (!store_execute(store, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                       "set the durability", error_r))
        return false;
    store->durable = durable;
    return true;
}

/*
 * Where memory or room lacks SQLite ends more than a statement: it rolls the transaction back
 * (https://www.sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction"). Whoever passes
 * over the error, because that statement did not matter, would go on outside of any transaction, each of his
 * statements committed by itself, without those of before: the position in a log, say, and not the events. So
 * nothing more is done until he has ended it.
 */
static bool is_undone(struct store *store, struct outcome *error_r)
{
    if (!store->writing || sqlite3_get_autocommit(store->current->database) == 0)
        return false;
    if (store->undone.class == OUTCOME_DEFERRED)
        *error_r = store->undone;
    else
        outcome_local(error_r, "4.3.0", "cannot write in %s: an error has undone what was written before it",
                      store->path);
    return true;
}

bool store_begin(struct store *store, enum store_durability durability, struct outcome *error_r)
{
    sqlite3_stmt *begin;

    store_read_end(store);
    if (store->writing) {
        if (!is_undone(store, error_r))
            outcome_local(error_r, "4.3.0",
                          "a transaction within another; this is a defect, please report it");
        return false;
    }
    store->undone.class = OUTCOME_DELIVERED;
    store->writing = store_stay_connected(store, error_r) &&
                     set_durability(store, durability == STORE_DURABLE, error_r) &&
                     (begin = store_statement(store, "BEGIN IMMEDIATE", error_r)) != NULL &&
                     store_run(store, begin, error_r);
    return store->writing;
}

bool store_commit(struct store *store, struct outcome *error_r)
{
    struct outcome ignored;
    sqlite3_stmt *commit = store_statement(store, "COMMIT", error_r);

    if (commit == NULL || !store_run(store, commit, error_r)) {
        store_rollback(store);
        return false;
    }
    store->writing = false;
    set_durability(store, false, &ignored); /* statements outside a transaction are STORE_NORMAL */
    store_checkpoint(store, STORE_BUSY);
    return true;
}

bool store_in_transaction(const struct store *store)
{
    return store->writing || (!store->reading && sqlite3_get_autocommit(store->current->database) == 0);
}

void store_rollback(struct store *store)
{
    struct outcome ignored;

    store_read_end(store);
    if (store->current->database == NULL || !store_in_transaction(store))
        return;
    store->writing = false;
    /* fails only when SQLite did it already */
    sqlite3_exec(store->current->database, "ROLLBACK", NULL, NULL, NULL);
    set_durability(store, false, &ignored);
}

void store_read_begin(struct store *store)
{
    struct outcome ignored;

    if (store->reading)
        return;
    sqlite3_stmt *begin = store_statement(store, "BEGIN", &ignored);
    store->reading = begin != NULL && sqlite3_get_autocommit(store->current->database) != 0 &&
                     store_run(store, begin, &ignored);
}

void store_read_end(struct store *store)
{
    struct outcome ignored;

    if (!store->reading)
        return;
    store->reading = false;
    sqlite3_stmt *commit = store_statement(store, "COMMIT", &ignored);
    if (commit == NULL || !store_run(store, commit, &ignored))
        sqlite3_exec(store->current->database, "ROLLBACK", NULL, NULL, NULL);
}

int64_t store_take_wait_us(struct store *store)
{
    int64_t waited_us = store->waited_us;

    store->waited_us = 0;
    return waited_us;
}

int store_lock(const char *state_dir, const char *name, int64_t give_up_ms, struct outcome *error_r)
{
    AUTO_FREE char *path = xasprintf("%s/%s", state_dir, name);

    return store_file_lock(path, give_up_ms, error_r);
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
    if (store->reading && sqlite3_stmt_readonly(statement) == 0)
        store_read_end(store);
    if (is_undone(store, error_r))
        return -1;
    int result = sqlite3_step(statement);

    if (result == SQLITE_ROW)
        return 1;
    if (result != SQLITE_DONE) {
        store_error(store, verb, error_r);
        if (store->writing && sqlite3_get_autocommit(store->current->database) != 0)
            store->undone = *error_r;
    }
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

void store_get_each(struct store *store, const char *const keys[STORE_GET_MAX], char *values_r[STORE_GET_MAX])
{
    struct outcome ignored;
    /* "key IN (…)" would make a table of them at each call */
    sqlite3_stmt *get = store_statement(store,
                                        "SELECT 0, value FROM meta WHERE key = ?1"
                                        " UNION ALL SELECT 1, value FROM meta WHERE key = ?2"
                                        " UNION ALL SELECT 2, value FROM meta WHERE key = ?3",
                                        &ignored);

    for (int i = 0; i < STORE_GET_MAX; i++)
        values_r[i] = NULL;
    if (get == NULL)
        return;
    for (int i = 0; i < STORE_GET_MAX; i++)
        sqlite3_bind_text(get, i + 1, keys[i], -1, SQLITE_STATIC);
    while (store_step(store, get, &ignored) == 1)
        values_r[sqlite3_column_int(get, 0)] = xstrdup((const char *)sqlite3_column_text(get, 1));
    sqlite3_clear_bindings(get);
}

uint64_t store_get_number(struct store *store, const char *key)
{
    AUTO_FREE char *value = store_get(store, key);

    return value != NULL ? strtoull(value, NULL, 10) : 0;
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
    bool ok = store_run(store, put, error_r);
    sqlite3_clear_bindings(put);
    return ok;
}
