/*
 * page_store: state.db as the status page reads it: a connection that can change nothing, with a deadline for
 * each turn, so that no question of the page can hold up those who have mail in hand: a reader that stays
 * keeps the write-ahead log from being cut short.
 *
 * Opened for each turn, because the file may be replaced by another (store/store.h). One thread.
 */
#ifndef SENDPOST_AGENT_PAGE_STORE_H
#define SENDPOST_AGENT_PAGE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct page_store {
    sqlite3 *database;
    int64_t until_ms; /* clock_monotonic_ms(): statements end then */
};

/* False: it cannot be read now. */
bool page_store_open(struct page_store *store_r, const char *state_dir, int64_t turn_ms)
    __attribute__((nonnull));
void page_store_close(struct page_store *store) __attribute__((nonnull));

/* NULL: trouble. sqlite3_finalize() it. */
sqlite3_stmt *page_store_ask(struct page_store *store, const char *sql) __attribute__((nonnull));

/* A text column, never NULL. */
const char *page_store_text(sqlite3_stmt *row, int column) __attribute__((nonnull, returns_nonnull));

#endif
