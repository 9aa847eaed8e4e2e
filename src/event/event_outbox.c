#include "event/event_outbox.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "event/event_row.h"

/* Nobody sets a time further away: an event that was is of a clock that has been put back since. */
#define AWAY_MS (2 * 3600000LL)

/* The row of an event, by number or else by its ids; parameters 1 and 2, 3. */
#define ROW_OF_EVENT \
    "id = ifnull(nullif(?1, 0), (SELECT id FROM events WHERE identity = ?2 AND event_id = ?3))"

static void bind_row(sqlite3_stmt *statement, const struct event *event)
{
    sqlite3_bind_int64(statement, 1, event->row);
    sqlite3_bind_int64(statement, 2, event_row_identity(event));
    event_row_bind_text(statement, 3, event->event_id);
}

/*
 * Nothing was changed: somebody else has settled the event meanwhile, and that stays; or it is not there, for
 * the file was replaced since (a salvage, a person), and it is added. Never taken for done unseen.
 */
static bool written(struct store *store, sqlite3_stmt *update, const struct event *event,
                    enum event_state state, int64_t due_ms, struct outcome *error_r)
{
    bool ok = store_run(store, update, error_r);
    int changes = ok ? sqlite3_changes(store_handle(store)) : 0;

    sqlite3_clear_bindings(update);
    return ok && (changes > 0 || event_store_add(store, event, state, due_ms, error_r));
}

/* The file may have been replaced since the number was read: hence the id is compared as well. */
bool event_outbox_settle(struct store *store, const struct event *event, enum event_state state,
                         struct outcome *error_r)
{
    sqlite3_stmt *settle = store_statement(store,
                                           "UPDATE events SET state = ?4, other_word = ?5 WHERE " ROW_OF_EVENT
                                           " AND event_id = ?3 AND state = 0",
                                           error_r);

    if (settle == NULL)
        return false;
    bind_row(settle, event);
    sqlite3_bind_int(settle, 4, (int)state);
    sqlite3_bind_int(settle, 5, event->other_word);
    return written(store, settle, event, state, 0, error_r);
}

bool event_outbox_keep(struct store *store, const struct event *event, int64_t now_ms, int64_t put_off_ms,
                       struct outcome *error_r)
{
    sqlite3_stmt *keep = store_statement(
        store,
        "UPDATE events SET due_ms = min(due_ms, ?4), tries = tries + (?5 > 0),"
        " put_off_ms = iif(?5 > 0, ?4 + ?5, 0) WHERE " ROW_OF_EVENT " AND event_id = ?3 AND state = 0",
        error_r);

    if (keep == NULL)
        return false;
    bind_row(keep, event);
    sqlite3_bind_int64(keep, 4, now_ms);
    sqlite3_bind_int64(keep, 5, put_off_ms);
    return written(store, keep, event, EVENT_PENDING, now_ms, error_r);
}

int event_outbox_tries(struct store *store, const struct event *event)
{
    struct outcome ignored;
    sqlite3_stmt *query =
        store_statement(store, "SELECT tries FROM events WHERE " ROW_OF_EVENT " AND event_id = ?3", &ignored);
    int tries = 0;

    if (query == NULL)
        return 0;
    bind_row(query, event);
    if (store_step(store, query, &ignored) == 1)
        tries = sqlite3_column_int(query, 0);
    sqlite3_reset(query);
    sqlite3_clear_bindings(query);
    return tries;
}

int event_outbox_next_tpsp(struct store *store, const char *after, char **tpsp_r, struct outcome *error_r)
{
    sqlite3_stmt *next =
        after == NULL
            ? store_statement(store, "SELECT tpsp FROM events WHERE state = 0 ORDER BY tpsp LIMIT 1", error_r)
            : store_statement(store,
                              "SELECT tpsp FROM events WHERE state = 0 AND tpsp > ? ORDER BY tpsp LIMIT 1",
                              error_r);

    if (next == NULL)
        return -1;
    if (after != NULL)
        event_row_bind_text(next, 1, after);
    int row = store_step(store, next, error_r);
    if (row == 1)
        *tpsp_r = xstrdup((const char *)sqlite3_column_text(next, 0));
    sqlite3_reset(next);
    sqlite3_clear_bindings(next);
    return row;
}

/* --- a batch ------------------------------------------------------------------------------------ */

/*
 * A row is free, or it was put off (by less than ?3: a time further away was set by a clock that has been put
 * back since), and then it holds up its message for so many tries.
 */
#define PUT_OFF "put_off_ms > ?2 AND put_off_ms <= ?2 + ?3"
#define HOLDS_UP "tries < " STRING(EVENT_OUTBOX_TRIES)
#define STRING_OF(text) #text
#define STRING(macro) STRING_OF(macro)

enum row_kind { ROW_FREE, ROW_PASSED_BY, ROW_HOLDS_UP };

static const char oldest[] =
    "SELECT " EVENT_ROW_COLUMNS_ID ", iif(" PUT_OFF ", iif(" HOLDS_UP ", 2, 1), 0) FROM events"
    " WHERE state = 0 AND tpsp = ?1 AND (due_ms <= ?2 OR due_ms > ?2 + ?3) ORDER BY due_ms, id";

/* A message of thousands of recipients has rows without end: its newest wait rather than all of these are
 * looked at. */
#define ROWS_MAX 200
/* as SQL is read: */
/* clang-format off */
#define ROWS_OF_MESSAGE(columns, first, last) \
    "(SELECT " columns " FROM events WHERE identity BETWEEN " first " AND " last                \
    " LIMIT " STRING(ROWS_MAX) ")"
#define ROWS_OF_NEW(columns) ROWS_OF_MESSAGE(columns, "new.identity >> 32 << 32", "new.identity | 4294967295")

static const char newest[] =
    "SELECT " EVENT_ROW_COLUMNS_ID ", " PUT_OFF
    " OR EXISTS (SELECT 1 FROM " ROWS_OF_NEW("id, state, message_id, tries, due_ms") " AS old"
    "  WHERE old.state = 0 AND old.message_id = new.message_id AND old." HOLDS_UP
    "  AND (old.due_ms < new.due_ms OR (old.due_ms = new.due_ms AND old.id < new.id)))"
    " OR (SELECT count(*) FROM " ROWS_OF_NEW("1") ") = " STRING(ROWS_MAX)
    " FROM events AS new WHERE state = 0 AND tpsp = ?1 AND due_ms <= ?2 ORDER BY due_ms DESC, id DESC";

static const char older_of_message[] =
    "SELECT " EVENT_ROW_COLUMNS_ID ", put_off_ms > ?1 FROM " ROWS_OF_MESSAGE("*", "?2", "?3")
    " WHERE state = 0 AND message_id = ?4 AND recipient = ?5 AND event_id <> ?6 AND " HOLDS_UP
    " AND (tries > 0 OR due_ms <= ?1) ORDER BY due_ms, id";
/* clang-format on */

/* The messages of which something was put off: few, and the rows of all that is newer come later. */
struct held {
    int64_t *messages;
    size_t count;
};

static bool is_held(const struct held *held, const struct event *event)
{
    for (size_t i = 0; i < held->count; i++)
        if (held->messages[i] == event_row_first(event->message_id))
            return true;
    return false;
}

static void hold(struct held *held, const struct event *event)
{
    held->messages = xrealloc(held->messages, (held->count + 1) * sizeof *held->messages);
    held->messages[held->count++] = event_row_first(event->message_id);
}

/* Steps through rows until there are limit events, or patience rows gave none. */
static int read_events(struct store *store, const char *sql, const char *tpsp, int64_t now_ms, int limit,
                       int patience, struct event *events_r, struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store, sql, error_r);
    struct held held = {0};
    int count = 0, row = -1;

    if (select == NULL)
        return -1;
    event_row_bind_text(select, 1, tpsp);
    sqlite3_bind_int64(select, 2, now_ms);
    sqlite3_bind_int64(select, 3, AWAY_MS);
    while (count < limit && patience > 0 && (row = store_step(store, select, error_r)) == 1) {
        int kind = sqlite3_column_int(select, EVENT_ROW_COUNT + 1);
        event_row_read(select, &events_r[count]);
        if (kind == ROW_HOLDS_UP)
            hold(&held, &events_r[count]);
        if (kind == ROW_FREE && !is_held(&held, &events_r[count]))
            count++;
        else
            patience--;
    }
    free(held.messages);
    sqlite3_reset(select);
    sqlite3_clear_bindings(select);
    return row < 0 ? -1 : count;
}

/* How many are due, counted up to limit; -1 with *error_r set. */
static int count_due(struct store *store, const char *tpsp, int64_t now_ms, int limit,
                     struct outcome *error_r)
{
    sqlite3_stmt *count =
        store_statement(store,
                        "SELECT count(*) FROM (SELECT 1 FROM events WHERE state = 0 AND tpsp = ?1"
                        " AND due_ms <= ?2 LIMIT ?3)",
                        error_r);

    if (count == NULL)
        return -1;
    event_row_bind_text(count, 1, tpsp);
    sqlite3_bind_int64(count, 2, now_ms);
    sqlite3_bind_int(count, 3, limit);
    int number = store_step(store, count, error_r) == 1 ? sqlite3_column_int(count, 0) : -1;
    sqlite3_reset(count);
    sqlite3_clear_bindings(count);
    return number;
}

static bool is_among(const struct event *events, int count, int64_t row)
{
    while (count > 0 && events[count - 1].row != row)
        count--;
    return count > 0;
}

int event_outbox_read(struct store *store, const char *tpsp, int64_t now_ms, int64_t fresh_ms, int limit,
                      struct event *events_r, int *fresh_r, struct outcome *error_r)
{
    int share = limit < 4 ? limit / 2 : limit / 4, fresh = 0;
    int due = share > 0 ? count_due(store, tpsp, now_ms, limit, error_r) : 0;
    AUTO_FREE struct event *fresh_ones = due < limit ? NULL : xmalloc((size_t)share * sizeof *fresh_ones);

    if (due < 0)
        return -1;
    if (fresh_ones != NULL)
        fresh = read_events(store, newest, tpsp, fresh_ms, share, share, fresh_ones, error_r);
    int count =
        fresh < 0 ? -1 : read_events(store, oldest, tpsp, now_ms, limit - fresh, INT_MAX, events_r, error_r);
    if (count < 0)
        return -1;
    /* both are in the same order, one forwards and one backwards */
    while (fresh > 0 && is_among(events_r, count, fresh_ones[fresh - 1].row))
        fresh--;
    if (fresh_r != NULL)
        *fresh_r = fresh;
    while (fresh > 0)
        events_r[count++] = fresh_ones[--fresh];
    return count;
}

int event_outbox_older(struct store *store, const struct event *event, int64_t now_ms, int limit,
                       struct event *events_r, bool *put_off_r, struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store, older_of_message, error_r);
    int count = 0, row = -1;

    *put_off_r = false;
    if (select == NULL)
        return -1;
    sqlite3_bind_int64(select, 1, now_ms);
    sqlite3_bind_int64(select, 2, event_row_first(event->message_id));
    sqlite3_bind_int64(select, 3, event_row_last(event->message_id));
    event_row_bind_text(select, 4, event->message_id);
    event_row_bind_text(select, 5, event->recipient);
    event_row_bind_text(select, 6, event->event_id);
    while (count < limit && (row = store_step(store, select, error_r)) == 1) {
        *put_off_r = *put_off_r || sqlite3_column_int(select, EVENT_ROW_COUNT + 1) != 0;
        event_row_read(select, &events_r[count++]);
    }
    sqlite3_reset(select);
    sqlite3_clear_bindings(select);
    return row < 0 ? -1 : count;
}

bool event_outbox_hasten(struct store *store, int64_t now_ms, struct outcome *error_r)
{
    sqlite3_stmt *hasten = store_statement(
        store, "UPDATE events SET put_off_ms = 0 WHERE state = 0 AND put_off_ms > ?1", error_r);

    if (hasten == NULL)
        return false;
    sqlite3_bind_int64(hasten, 1, now_ms);
    return store_run(store, hasten, error_r);
}
