#include "agent/position.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

void position_clear(struct position *position)
{
    free(position->path);
    free(position->cursor);
    *position = (struct position){0};
}

void position_copy(struct position *copy_r, const struct position *position)
{
    *copy_r = *position;
    copy_r->path = xstrdup(position->path);
    copy_r->cursor = xstrdup(position->cursor != NULL ? position->cursor : "");
}

int position_load(struct position *position_r, const char *path, struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store,
                        "SELECT device, inode, offset, head_length, head_hash, modified_ms, last_ms,"
                        " cursor FROM log_position WHERE path = ?",
                        error_r);
    *position_r = (struct position){0};
    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        const char *cursor = (const char *)sqlite3_column_text(statement, 7);
        position_r->path = xstrdup(path);
        position_r->device = (uint64_t)sqlite3_column_int64(statement, 0);
        position_r->inode = (uint64_t)sqlite3_column_int64(statement, 1);
        position_r->offset = sqlite3_column_int64(statement, 2);
        position_r->head_length = (uint32_t)sqlite3_column_int64(statement, 3);
        position_r->head_hash = (uint64_t)sqlite3_column_int64(statement, 4);
        position_r->modified_ms = sqlite3_column_int64(statement, 5);
        position_r->last_ms = sqlite3_column_int64(statement, 6);
        position_r->cursor = xstrdup(cursor != NULL ? cursor : "");
    } else if (result != SQLITE_DONE) {
        store_error(store, "load the position in the log", error_r);
    }
    sqlite3_reset(statement);
    return result == SQLITE_ROW ? 1 : result == SQLITE_DONE ? 0 : -1;
}

bool position_save(const struct position *position, struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store,
        "INSERT OR REPLACE INTO log_position (id, path, device, inode, offset, head_length, head_hash,"
        " modified_ms, last_ms, cursor) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        error_r);
    if (statement == NULL)
        return false;
    sqlite3_bind_text(statement, 1, position->path, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (int64_t)position->device);
    sqlite3_bind_int64(statement, 3, (int64_t)position->inode);
    sqlite3_bind_int64(statement, 4, position->offset);
    sqlite3_bind_int64(statement, 5, position->head_length);
    sqlite3_bind_int64(statement, 6, (int64_t)position->head_hash);
    sqlite3_bind_int64(statement, 7, position->modified_ms);
    sqlite3_bind_int64(statement, 8, position->last_ms);
    sqlite3_bind_text(statement, 9, position->cursor != NULL ? position->cursor : "", -1, SQLITE_STATIC);
    return store_run(store, statement, error_r);
}
