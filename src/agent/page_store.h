/*
 * page_store: turns of reading state.db (store_open_to_read()) for the status page, whose questions are to
 * hold up nobody who has mail in hand. One thread.
 */
#ifndef SENDPOST_AGENT_PAGE_STORE_H
#define SENDPOST_AGENT_PAGE_STORE_H

#include "store/store.h"

struct page_store {
    struct store *store;
};

/* False: it cannot be read now. */
bool page_store_open(struct page_store *store_r, const char *state_dir, int64_t turn_ms)
    __attribute__((nonnull));
void page_store_close(struct page_store *store) __attribute__((nonnull));

/* NULL: trouble. sqlite3_finalize() it. */
sqlite3_stmt *page_store_ask(struct page_store *store, const char *sql) __attribute__((nonnull));

#endif
