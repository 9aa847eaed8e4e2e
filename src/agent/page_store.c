#include "agent/page_store.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/state_dir.h"
#include "base/xalloc.h"

#define STEPS 4000 /* of SQLite's machine between two looks at the clock: less than a millisecond */
#define BUSY_MS 200

static int is_late(void *context)
{
    const struct page_store *store = context;

    return clock_monotonic_ms() > store->until_ms;
}

bool page_store_open(struct page_store *store_r, const char *state_dir, int64_t turn_ms)
{
    AUTO_FREE char *path = xasprintf("%s/state.db", state_dir);
    struct outcome ignored;

    *store_r = (struct page_store){.until_ms = clock_monotonic_ms() + turn_ms};
    if (!state_dir_check(path, &ignored))
        return false;
    if (sqlite3_open_v2(path, &store_r->database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
        SQLITE_OK) {
        sqlite3_busy_timeout(store_r->database, BUSY_MS);
        sqlite3_progress_handler(store_r->database, STEPS, is_late, store_r);
        return true;
    }
    page_store_close(store_r);
    return false;
}

void page_store_close(struct page_store *store)
{
    sqlite3_close_v2(store->database);
    store->database = NULL;
}

sqlite3_stmt *page_store_ask(struct page_store *store, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK)
        sqlite3_finalize(statement), statement = NULL;
    return statement;
}

const char *page_store_text(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);

    return text != NULL ? text : "";
}
