/*
 * store: state.db in the state directory, SQLite in WAL mode (https://www.sqlite.org/wal.html). This module
 * owns the file, its schema and its transactions; what a table means belongs to the module that uses it.
 *
 * Opening creates a missing file and brings an older schema up to date (PRAGMA user_version); a file of a
 * newer version is refused. A file that SQLite calls corrupt is moved aside to state.db.corrupt-DATE and a
 * new one is begun: losing the state costs less than stopping the mail. A short-lived process neither
 * checkpoints on close nor removes the WAL.
 *
 * A store belongs to one thread. Every function that can fail says why in an outcome (OUTCOME_DEFERRED,
 * CAUSE_LOCAL, 4.3.0) with the path, the SQLite message and a remedy.
 */
#ifndef SENDPOST_STORE_H
#define SENDPOST_STORE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/outcome.h"

struct store;

enum store_durability {
    STORE_NORMAL,  /* survives the death of any process; a power cut may take it back */
    STORE_DURABLE, /* survives a power cut: fsync before commit returns */
};

/* A file that can only be read is an error: nothing could be recorded. */
bool store_open(struct store **store_r, const char *state_dir, struct outcome *error_r)
    __attribute__((nonnull));
void store_close(struct store *store); /* NULL is fine */

/* Takes the write lock at once (BEGIN IMMEDIATE), waiting for other writers up to 30 seconds. Not nestable.
 */
bool store_begin(struct store *store, enum store_durability durability, struct outcome *error_r)
    __attribute__((nonnull));
bool store_commit(struct store *store, struct outcome *error_r) __attribute__((nonnull));
void store_rollback(struct store *store) __attribute__((nonnull)); /* no-op outside a transaction */

/*
 * A prepared statement for this SQL text, from a small cache keyed by the pointer: pass string literals only.
 * Reset and with its bindings cleared; the store owns it. NULL with *error_r set on failure.
 */
sqlite3_stmt *store_statement(struct store *store, const char *sql, struct outcome *error_r)
    __attribute__((nonnull));

/* Step a statement that returns no row, and reset it. */
bool store_run(struct store *store, sqlite3_stmt *statement, struct outcome *error_r)
    __attribute__((nonnull));

/* Describe the last SQLite failure on this store, during "verb" ("record the event"). */
void store_error(struct store *store, const char *verb, struct outcome *error_r) __attribute__((nonnull));

sqlite3 *store_handle(struct store *store) __attribute__((nonnull, returns_nonnull));

/* The small table of single values: remembered refusals and the like. store_get() returns NULL when there is
 * none; the caller frees. */
char *store_get(struct store *store, const char *key) __attribute__((nonnull));
bool store_put(struct store *store, const char *key, const char *value, struct outcome *error_r)
    __attribute__((nonnull));

#endif
