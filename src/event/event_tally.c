/* event_store's part that says what deliveries came to, from the index events_tally alone. */
#include <stdio.h>
#include <string.h>

#include "event/event_row.h"
#include "event/event_store.h"

/* TPSP and kind, one after the other in the order of the index. */
struct group {
    char tpsp[EVENT_NAME_SIZE];
    int cs;
};

/* 1: *group is now the next one. */
static int next_group(struct store *store, struct group *group, struct outcome *error_r)
{
    sqlite3_stmt *next =
        store_statement(store,
                        "SELECT tpsp, cs FROM events WHERE source = 0 AND (tpsp, cs) > (?, ?)"
                        " ORDER BY tpsp, cs LIMIT 1",
                        error_r);

    if (next == NULL)
        return -1;
    event_row_bind_text(next, 1, group->tpsp);
    sqlite3_bind_int(next, 2, group->cs);
    int row = store_step(store, next, error_r);
    if (row == 1) {
        snprintf(group->tpsp, sizeof group->tpsp, "%s", (const char *)sqlite3_column_text(next, 0));
        group->cs = sqlite3_column_int(next, 1);
    }
    sqlite3_reset(next);
    sqlite3_clear_bindings(next);
    return row;
}

static int64_t count_group(struct store *store, const struct group *group, int64_t since_ms,
                           struct outcome *error_r)
{
    sqlite3_stmt *count =
        store_statement(store,
                        "SELECT count(*) FROM events WHERE source = 0 AND tpsp = ? AND cs = ?"
                        " AND timestamp_ms >= ?",
                        error_r);

    if (count == NULL)
        return -1;
    event_row_bind_text(count, 1, group->tpsp);
    sqlite3_bind_int(count, 2, group->cs);
    sqlite3_bind_int64(count, 3, since_ms);
    int64_t number = store_step(store, count, error_r) == 1 ? sqlite3_column_int64(count, 0) : -1;
    sqlite3_reset(count);
    sqlite3_clear_bindings(count);
    return number;
}

bool event_store_tally(struct store *store, int64_t since_ms, int64_t recent_ms,
                       void (*see)(void *context, const char *tpsp, enum event_cs cs, uint64_t count,
                                   uint64_t recent),
                       void *context, struct outcome *error_r)
{
    struct group group = {"", 0};
    int row;

    while ((row = next_group(store, &group, error_r)) == 1) {
        int64_t count = count_group(store, &group, since_ms, error_r);
        int64_t recent = count > 0 ? count_group(store, &group, recent_ms + 1, error_r) : 0;
        if (count < 0 || recent < 0)
            return false;
        if (count > 0)
            see(context, group.tpsp, (enum event_cs)group.cs, (uint64_t)count, (uint64_t)recent);
    }
    return row == 0;
}

/* The latest of a group among those found so far, the latest first; returns how many there are now. */
static int merge_latest(struct store *store, const struct group *group, int64_t since_ms, int limit,
                        int count, struct event *events, struct outcome *error_r)
{
    sqlite3_stmt *latest =
        store_statement(store,
                        "SELECT " EVENT_ROW_COLUMNS_ID " FROM events WHERE source = 0 AND tpsp = ? AND cs = ?"
                        " AND timestamp_ms >= ? ORDER BY timestamp_ms DESC, id DESC LIMIT ?",
                        error_r);
    struct event event;
    int row = -1;

    if (latest == NULL)
        return -1;
    event_row_bind_text(latest, 1, group->tpsp);
    sqlite3_bind_int(latest, 2, group->cs);
    sqlite3_bind_int64(latest, 3, since_ms);
    sqlite3_bind_int(latest, 4, limit);
    while ((row = store_step(store, latest, error_r)) == 1) {
        int place = count;
        event_row_read(latest, &event);
        while (place > 0 && events[place - 1].row < event.row)
            place--;
        if (place == limit)
            continue;
        count += count < limit;
        memmove(&events[place + 1], &events[place], (size_t)(count - 1 - place) * sizeof *events);
        events[place] = event;
    }
    sqlite3_reset(latest);
    sqlite3_clear_bindings(latest);
    return row < 0 ? -1 : count;
}

int event_store_failures(struct store *store, int64_t since_ms, int limit, struct event *events_r,
                         struct outcome *error_r)
{
    struct group group = {"", 0};
    int count = 0, row;

    while ((row = next_group(store, &group, error_r)) == 1)
        if (group.cs != CS_SENT && group.cs != CS_DELIVERED &&
            (count = merge_latest(store, &group, since_ms, limit, count, events_r, error_r)) < 0)
            return -1;
    return row < 0 ? -1 : count;
}
