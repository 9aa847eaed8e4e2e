#include "agent/page_store.h"

#include "base/clock.h"

bool page_store_open(struct page_store *store_r, const char *state_dir, int64_t turn_ms)
{
    struct outcome ignored;

    return store_open_to_read(&store_r->store, state_dir, clock_monotonic_ms() + turn_ms, &ignored);
}

void page_store_close(struct page_store *store)
{
    store_close(store->store);
    store->store = NULL;
}

sqlite3_stmt *page_store_ask(struct page_store *store, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    return sqlite3_prepare_v2(store_handle(store->store), sql, -1, &statement, NULL) == SQLITE_OK ? statement
                                                                                                  : NULL;
}
