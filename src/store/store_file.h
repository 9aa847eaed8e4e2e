/*
 * store_file: state.db as a file among processes: who creates it, and who moves a corrupt one aside. A part
 * of store; nobody else includes it.
 *
 * Both are done under an flock on state.db.lock, which dies with its holder, and a file is never moved on one
 * process's word: whoever holds the lock looks again first. What is begun is noted in state.db.salvage first,
 * and whoever finds that note goes on with it: a file is moved with its -wal or not at all, and nobody works
 * on the new one before it has what could be read of the old.
 */
#ifndef SENDPOST_STORE_STORE_FILE_H
#define SENDPOST_STORE_STORE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

/* Descriptor that holds the lock path.lock until it is closed; waits until give_up_ms (clock_monotonic_ms()).
 * -1 with *error_r set. */
int store_file_lock(const char *path, int64_t give_up_ms, struct outcome *error_r) __attribute__((nonnull));

/*
 * Create an empty path when there is none. Leftovers of a database that is gone (-wal, -shm) are removed
 * first: SQLite would read them into the new one. Call under the lock.
 */
bool store_file_create(const char *path, struct outcome *error_r) __attribute__((nonnull));

/*
 * Move path with its -wal and -shm to path.corrupt-DATE, if it is corrupt indeed, and leave a note that it is
 * to be salvaged. Takes the lock itself.
 */
bool store_file_move_aside(const char *path, struct outcome *error_r) __attribute__((nonnull));

/* Whoever began to move a file aside may have died: bring that to its end. Call under the lock. */
bool store_file_settle(const char *path, struct outcome *error_r) __attribute__((nonnull));

/* The file that is to be salvaged, for the caller to free; NULL: there is none. "": a note without a name. */
char *store_file_to_salvage(const char *path) __attribute__((nonnull));

/* It is. Call under the lock. */
bool store_file_forget_salvage(const char *path, struct outcome *error_r) __attribute__((nonnull));

#endif
