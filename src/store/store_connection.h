/*
 * store_connection: one opened state.db after the other behind a store: how it is opened, brought up to date,
 * waited for, checkpointed, and exchanged when somebody took it away. A part of store; nobody else includes
 * it.
 */
#ifndef SENDPOST_STORE_STORE_CONNECTION_H
#define SENDPOST_STORE_STORE_CONNECTION_H

#include <stdint.h>

#include "store/store.h"

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
    bool durable;          /* the connection runs with synchronous=FULL */
    bool reading;          /* store_read_begin() */
    bool writing;          /* store_begin(), until store_commit() or store_rollback() */
    struct outcome undone; /* why SQLite has rolled it back by itself meanwhile, where that is known */
    bool suspect;          /* SQLite spoke of corruption: look before the next transaction */
    int wal_pages;
    unsigned random;
    int64_t busy_until_ms;
    int64_t busy_wait_ms;
    int64_t waited_us;     /* store_take_wait_us() */
    int64_t read_until_ms; /* of one that only reads */
};

/* Open the file, whatever it takes: it is created, brought up to date, or moved aside. On success the new
 * connection is the current one, and any other before it is retired. */
bool store_connect(struct store *store, struct outcome *error_r) __attribute__((nonnull));

/* A connection that can change nothing, to the file that is there. */
bool store_connect_to_read(struct store *store, struct outcome *error_r) __attribute__((nonnull));

/* The current connection may go on being used, or is exchanged for one to the file that is there now. A
 * long-lived process must not write on into a file that was deleted, replaced or found corrupt. */
bool store_stay_connected(struct store *store, struct outcome *error_r) __attribute__((nonnull));

/* Close the current connection; the retired one before it becomes current. */
void store_disconnect(struct store *store) __attribute__((nonnull));

/* Checkpoint if the WAL has become too long for this moment. */
enum store_moment { STORE_BUSY, STORE_RESTS, STORE_CLOSES };
void store_checkpoint(struct store *store, enum store_moment moment) __attribute__((nonnull));

/* sqlite3_exec() without results. */
bool store_execute(struct store *store, const char *sql, const char *verb, struct outcome *error_r)
    __attribute__((nonnull));

#define STORE_BUSY_WAIT_MS 30000
#define STORE_READ_WAIT_MS 200

#endif
