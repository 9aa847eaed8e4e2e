/* The table of correlations on disk: rows of CORRELATION_BLOCK entries, as they are in memory. */
#include <string.h>

#include "agent/correlation_private.h"

_Static_assert(sizeof(struct correlation_entry) == 32, "the format on disk");

enum { BLOCK_SIZE = CORRELATION_BLOCK * sizeof(struct correlation_entry) };

static void link_free_slots(struct correlation *table)
{
    table->free_slot = CORRELATION_NONE;
    table->count = 0;
    for (uint32_t slot = table->used; slot-- > 0;) {
        if (table->entries[slot].queue != 0) {
            table->count++;
            continue;
        }
        table->entries[slot].seen_s = table->free_slot;
        table->free_slot = slot;
    }
}

static void load_block(struct correlation *table, sqlite3_stmt *statement)
{
    int64_t block = sqlite3_column_int64(statement, 0);

    /* a row of another size is of no version of ours, and one beyond the limit of a table that was larger */
    if (block < 0 || block >= table->limit / CORRELATION_BLOCK ||
        sqlite3_column_bytes(statement, 1) != BLOCK_SIZE)
        return;
    uint32_t first = (uint32_t)block * CORRELATION_BLOCK, old = table->used;
    correlation_reserve(table, first + CORRELATION_BLOCK);
    if (old < first)
        memset(table->entries + old, 0, (first - old) * sizeof *table->entries);
    memcpy(table->entries + first, sqlite3_column_blob(statement, 1), BLOCK_SIZE);
    table->used = first + CORRELATION_BLOCK;
}

bool correlation_load(struct correlation *table, struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store, "SELECT block, entries FROM correlation ORDER BY block", error_r);
    int result;

    if (statement == NULL)
        return false;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW)
        load_block(table, statement);
    if (result != SQLITE_DONE) {
        store_error(store, "load the correlations", error_r);
        sqlite3_reset(statement);
        return false;
    }
    sqlite3_reset(statement);
    link_free_slots(table);
    correlation_index(table);
    for (uint32_t slot = 0; slot < table->used; slot++)
        if (table->entries[slot].queue != 0 && (table->entries[slot].flags & CORRELATION_REMOVED))
            correlation_remove(table, slot, table->entries[slot].seen_s);
    return true;
}

static bool save_block(const struct correlation *table, uint32_t block, struct store *store,
                       struct outcome *error_r)
{
    struct correlation_entry entries[CORRELATION_BLOCK] = {0};
    uint32_t first = block * CORRELATION_BLOCK;
    uint32_t count = table->used - first < CORRELATION_BLOCK ? table->used - first : CORRELATION_BLOCK;
    sqlite3_stmt *statement =
        store_statement(store, "INSERT OR REPLACE INTO correlation (block, entries) VALUES (?, ?)", error_r);

    if (statement == NULL)
        return false;
    memcpy(entries, table->entries + first, count * sizeof *entries);
    sqlite3_bind_int64(statement, 1, block);
    sqlite3_bind_blob(statement, 2, entries, sizeof entries, SQLITE_STATIC);
    return store_run(store, statement, error_r);
}

bool correlation_save(struct correlation *table, struct store *store, struct outcome *error_r)
{
    for (uint32_t block = 0; block * CORRELATION_BLOCK < table->used; block++) {
        if (!table->touched[block])
            continue;
        if (!save_block(table, block, store, error_r))
            return false;
        table->touched[block] = 0;
    }
    return true;
}

void correlation_touch(struct correlation *table)
{
    memset(table->touched, 1, table->capacity / CORRELATION_BLOCK);
}
