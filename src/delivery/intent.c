#include "delivery/intent.h"

#define KEPT_MS (40ll * 24 * 3600 * 1000) /* no message stays in a queue so long */
#define SWEPT_AT_ONCE "10"

bool intent_write(struct store *store, const struct intent *intent, int64_t boot, int64_t now_ms,
                  struct outcome *error_r)
{
    sqlite3_stmt *write =
        store_statement(store,
                        "INSERT OR REPLACE INTO intents (key, queue_id, recipient,"
                        " message_id, content, boot, begun_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
                        error_r);

    if (write == NULL)
        return false;
    sqlite3_bind_int64(write, 1, intent->key);
    sqlite3_bind_text(write, 2, intent->queue_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(write, 3, intent->recipient, -1, SQLITE_STATIC);
    sqlite3_bind_text(write, 4, intent->uuid, -1, SQLITE_STATIC);
    sqlite3_bind_text(write, 5, intent->content, -1, SQLITE_STATIC);
    sqlite3_bind_int64(write, 6, boot);
    sqlite3_bind_int64(write, 7, now_ms);
    bool ok = store_run(store, write, error_r);
    sqlite3_clear_bindings(write);
    return ok;
}

int intent_find(struct store *store, int64_t key, int64_t *boot_r, struct outcome *error_r)
{
    sqlite3_stmt *find = store_statement(store, "SELECT boot FROM intents WHERE key = ?", error_r);

    if (find == NULL)
        return -1;
    sqlite3_bind_int64(find, 1, key);
    int found = store_step(store, find, error_r);
    if (found == 1)
        *boot_r = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    return found;
}

bool intent_remove(struct store *store, int64_t key, struct outcome *error_r)
{
    sqlite3_stmt *remove = store_statement(store, "DELETE FROM intents WHERE key = ?", error_r);

    if (remove == NULL)
        return false;
    sqlite3_bind_int64(remove, 1, key);
    return store_run(store, remove, error_r);
}

bool intent_sweep(struct store *store, int64_t now_ms, struct outcome *error_r)
{
    sqlite3_stmt *sweep = store_statement(store,
                                          "DELETE FROM intents WHERE key IN (SELECT key FROM intents"
                                          " WHERE begun_ms < ? LIMIT " SWEPT_AT_ONCE ")",
                                          error_r);

    if (sweep == NULL)
        return false;
    sqlite3_bind_int64(sweep, 1, now_ms - KEPT_MS);
    return store_run(store, sweep, error_r);
}
