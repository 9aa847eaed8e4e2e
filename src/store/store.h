/*
 * store: state.db in the state directory, SQLite in WAL mode (https://www.sqlite.org/wal.html). This module
 * owns the file, its schema (store/schema.sql) and its transactions; what a table means belongs to the module
 * that uses it.
 *
 * Opening creates a missing file (see base/state_dir.h) with all its tables; a file of another schema
 * (PRAGMA user_version) is refused. A file that SQLite calls corrupt, at opening or at any
 * later statement, is moved aside to state.db.corrupt-DATE and a new one is begun with what can still be read
 * of the old: losing some of the state costs less than stopping the mail. The call that met the corruption
 * later than at opening still fails; the next store_begin() works on the new file, and where none comes
 * store_close() begins it. The same holds for a file that somebody deleted or replaced under a long-lived
 * process.
 *
 * A short-lived process neither checkpoints on close nor removes the WAL, unless the WAL has grown past its
 * bound: then one of them does, in store_close(), when its own work is done. So close the store after the
 * result is out.
 *
 * A store belongs to one thread; a process may have several. Every function that can fail says why in an
 * outcome (OUTCOME_DEFERRED, CAUSE_OURS, 4.3.0) with the path, the SQLite message and a remedy.
 */
#ifndef SENDPOST_STORE_STORE_H
#define SENDPOST_STORE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

struct store;

enum store_durability {
    STORE_NORMAL,  /* survives the death of any process; a power cut may take it back */
    STORE_DURABLE, /* survives a power cut: fsync before commit returns, of earlier commits as well */
};

/* A file that can only be read is an error: nothing could be recorded. */
bool store_open(struct store **store_r, const char *state_dir, struct outcome *error_r)
    __attribute__((nonnull));
void store_close(struct store *store); /* NULL is fine */

/*
 * For who only looks: a connection that can change nothing, neither makes nor mends a file, waits for nobody
 * longer than a moment, and whose statements end at until_ms (clock_monotonic_ms()) with SQLITE_INTERRUPT: a
 * reader that stays keeps the write-ahead log from being cut short. Open it for each turn; begin no
 * transaction.
 */
bool store_open_to_read(struct store **store_r, const char *state_dir, int64_t until_ms,
                        struct outcome *error_r) __attribute__((nonnull));

/* For a process that goes from job to job. Between two: nothing stays open that others wait for, and the
 * checkpoint, if its turn is now. */
void store_rest(struct store *store) __attribute__((nonnull));
/* Before the next: from now on what is read, too, comes from the file that is there now. */
bool store_renew(struct store *store, struct outcome *error_r) __attribute__((nonnull));

/* Takes the write lock at once (BEGIN IMMEDIATE), waiting for other writers up to 30 seconds. Not nestable.
 * Reset a SELECT that is still open before: its snapshot may be too old to write on. */
bool store_begin(struct store *store, enum store_durability durability, struct outcome *error_r)
    __attribute__((nonnull));
/* Who has much to write does so in turns, a transaction of this length each, and gives way in between: SQLite
 * keeps no queue, and who ends a transaction and begins the next would have the lock again at once. */
#define STORE_TURN_MS 20
void store_give_way(void);
/*
 * What is read from here to store_read_end() is of one moment, and one lock serves it all. A write ends it by
 * itself, and so does store_begin(): a snapshot may be too old to write on. Not to be kept while somebody is
 * waited for: it holds up the checkpoint. Without it each query is by itself.
 */
void store_read_begin(struct store *store) __attribute__((nonnull));
void store_read_end(struct store *store) __attribute__((nonnull));

/* How long this store has waited for others since the last call, in microseconds, and begin anew. */
int64_t store_take_wait_us(struct store *store) __attribute__((nonnull));

/* Rolls back on failure. An error within the transaction may have undone it (no room, no memory): from then
 * on every statement fails, and so does this. */
bool store_commit(struct store *store, struct outcome *error_r) __attribute__((nonnull));
void store_rollback(struct store *store) __attribute__((nonnull)); /* no-op outside a transaction */
bool store_in_transaction(const struct store *store) __attribute__((nonnull));

/*
 * A prepared statement for this SQL text, from a small cache keyed by the pointer: pass string literals only.
 * Reset and with its bindings cleared; the store owns it. Reset a SELECT when you have read what you need: an
 * open one holds up the checkpoint. Outside a transaction a writing statement is one of its own with
 * STORE_NORMAL. NULL with *error_r set on failure.
 */
sqlite3_stmt *store_statement(struct store *store, const char *sql, struct outcome *error_r)
    __attribute__((nonnull));

/* Step a statement that returns no row, and reset it. */
bool store_run(struct store *store, sqlite3_stmt *statement, struct outcome *error_r)
    __attribute__((nonnull));

/*
 * Step a statement that returns rows: 1 with a row to read, 0 at the end (reset), -1 with *error_r set
 * (reset).
 */
int store_step(struct store *store, sqlite3_stmt *statement, struct outcome *error_r)
    __attribute__((nonnull));

/* Describe the last SQLite failure on this store, during "verb" ("record the event"). */
void store_error(struct store *store, const char *verb, struct outcome *error_r) __attribute__((nonnull));

/* For work that one process at a time may do, without holding up the others: the descriptor holds the lock
 * NAME.lock in the state directory until it is closed. Waits until give_up_ms (clock_monotonic_ms()); -1 with
 * *error_r set. */
int store_lock(const char *state_dir, const char *name, int64_t give_up_ms, struct outcome *error_r)
    __attribute__((nonnull));

/* Corrupt files that were moved aside and nobody has removed yet: sendpostctl and the agent tell of them. */
struct store_leftovers {
    unsigned count;
    char latest[64]; /* name of the latest, in the state directory */
    bool unfinished; /* what it holds is not all brought over yet */
};
struct store_leftovers store_leftovers(const char *state_dir) __attribute__((nonnull));

sqlite3 *store_handle(struct store *store) __attribute__((nonnull, returns_nonnull));

/* The small table of single values: remembered refusals and the like. store_get() returns NULL when there is
 * none; the caller frees. A NULL value removes the key. */
char *store_get(struct store *store, const char *key) __attribute__((nonnull));
/* All of these keys at once, NULL where there is none; the caller frees each. */
#define STORE_GET_MAX 3
void store_get_each(struct store *store, const char *const keys[STORE_GET_MAX], char *values_r[STORE_GET_MAX])
    __attribute__((nonnull));
uint64_t store_get_number(struct store *store, const char *key) __attribute__((nonnull)); /* 0: none */
bool store_put(struct store *store, const char *key, const char *value, struct outcome *error_r)
    __attribute__((nonnull(1, 2, 4)));

#endif
