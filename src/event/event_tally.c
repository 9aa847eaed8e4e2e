/* event_store's part that says what became of messages: counted as events are stored (store/schema.sql). */
#include <stdio.h>
#include <string.h>

#include "event/event_row.h"
#include "event/event_store.h"

#define MINUTE_MS 60000

bool event_store_tally(struct store *store, int64_t since_ms, int64_t recent_ms,
                       void (*see)(void *context, const char *tpsp, enum event_cs cs, uint64_t count,
                                   uint64_t recent),
                       void *context, struct outcome *error_r)
{
    sqlite3_stmt *select =
        store_statement(store,
                        "SELECT tpsp, cs, sum(count), sum(iif(minute > ?2, count, 0)) FROM tally"
                        " WHERE minute >= ?1 GROUP BY tpsp, cs",
                        error_r);
    int row = -1;

    if (select == NULL)
        return false;
    sqlite3_bind_int64(select, 1, since_ms / MINUTE_MS);
    sqlite3_bind_int64(select, 2, recent_ms / MINUTE_MS);
    while ((row = store_step(store, select, error_r)) == 1)
        see(context, (const char *)sqlite3_column_text(select, 0),
            (enum event_cs)sqlite3_column_int(select, 1), (uint64_t)sqlite3_column_int64(select, 2),
            (uint64_t)sqlite3_column_int64(select, 3));
    return row == 0;
}

bool event_store_used(struct store *store, const char *tpsp, const char *provider, int64_t since_ms,
                      uint64_t *used_r, struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store,
                                           "SELECT ifnull(sum(used), 0) FROM tally WHERE minute > ?1"
                                           " AND tpsp = ?2 AND (?3 IS NULL OR provider = ?3)",
                                           error_r);

    if (select == NULL)
        return false;
    sqlite3_bind_int64(select, 1, since_ms / MINUTE_MS);
    sqlite3_bind_text(select, 2, tpsp, -1, SQLITE_STATIC);
    if (provider != NULL)
        sqlite3_bind_text(select, 3, provider, -1, SQLITE_STATIC);
    int row = store_step(store, select, error_r);
    *used_r = row == 1 ? (uint64_t)sqlite3_column_int64(select, 0) : 0;
    sqlite3_reset(select);
    sqlite3_clear_bindings(select);
    return row == 1;
}

bool event_store_forget(struct store *store, int64_t before_ms, struct outcome *error_r)
{
    sqlite3_stmt *minutes =
        store_statement(store,
                        "DELETE FROM tally WHERE minute < ? AND minute <= (SELECT max(minute) FROM"
                        " (SELECT minute FROM tally ORDER BY minute LIMIT 500))",
                        error_r);
    sqlite3_stmt *blocks = store_statement(
        store, "DELETE FROM event_block WHERE block < (SELECT min(id) FROM events) >> 12", error_r);

    if (minutes == NULL || blocks == NULL)
        return false;
    sqlite3_bind_int64(minutes, 1, before_ms / MINUTE_MS);
    return store_run(store, minutes, error_r) && store_run(store, blocks, error_r);
}

int event_store_failures(struct store *store, int64_t since_ms, int limit, struct event *events_r,
                         struct outcome *error_r)
{
    sqlite3_stmt *latest = store_statement(store,
                                           "SELECT " EVENT_ROW_COLUMNS_ID " FROM events WHERE source = 0"
                                           " AND cs NOT IN (59, 60) AND timestamp_ms >= ?1"
                                           " ORDER BY timestamp_ms DESC, id DESC LIMIT ?2",
                                           error_r);
    int count = 0, row = -1;

    if (latest == NULL)
        return -1;
    sqlite3_bind_int64(latest, 1, since_ms);
    sqlite3_bind_int(latest, 2, limit);
    while ((row = store_step(store, latest, error_r)) == 1)
        event_row_read(latest, &events_r[count++]);
    return row < 0 ? -1 : count;
}
