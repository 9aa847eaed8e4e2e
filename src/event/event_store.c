#include "event/event_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define DAY_MS 86400000LL

/* In the order of read_event() and bind_event(). */
#define COLUMNS                                                                                         \
    "event_id, message_id, cs, dropped_as_bounced, source, timestamp_ms, recipient, sender, queue_id, " \
    "smtp_code, "                                                                                       \
    "smtp_enhanced_code, smtp_description, tpsp, tpsp_id, provider, attempt"
#define COLUMN_COUNT 16

static const char *const state_names[EVENT_STATE_COUNT] = {"pending", "reported", "rejected", "local"};

const char *event_state_name(enum event_state state)
{
    return (size_t)state < EVENT_STATE_COUNT ? state_names[state] : "unknown";
}

bool event_state_by_name(const char *name, enum event_state *state_r)
{
    for (int i = 0; i < EVENT_STATE_COUNT; i++)
        if (strcmp(name, state_names[i]) == 0) {
            *state_r = (enum event_state)i;
            return true;
        }
    return false;
}

/* --- rows --------------------------------------------------------------------------------------- */

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static void bind_event(sqlite3_stmt *statement, const struct event *event)
{
    bind_text(statement, 1, event->event_id);
    bind_text(statement, 2, event->message_id);
    sqlite3_bind_int(statement, 3, (int)event->cs);
    sqlite3_bind_int(statement, 4, event->dropped_as_bounced);
    sqlite3_bind_int(statement, 5, (int)event->source);
    sqlite3_bind_int64(statement, 6, event->timestamp_ms);
    bind_text(statement, 7, event->recipient);
    bind_text(statement, 8, event->sender);
    bind_text(statement, 9, event->queue_id);
    sqlite3_bind_int(statement, 10, event->smtp_code);
    bind_text(statement, 11, event->smtp_enhanced_code);
    bind_text(statement, 12, event->smtp_description);
    bind_text(statement, 13, event->tpsp);
    sqlite3_bind_int64(statement, 14, event->tpsp_id);
    bind_text(statement, 15, event->provider);
    sqlite3_bind_int(statement, 16, event->attempt);
}

static void read_text(sqlite3_stmt *row, int column, char *buffer, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    size_t length = text ? strnlen(text, size - 1) : 0;

    if (length > 0)
        memcpy(buffer, text, length);
    buffer[length] = '\0';
}

static void read_event(sqlite3_stmt *row, struct event *event_r)
{
    memset(event_r, 0, sizeof *event_r);
    read_text(row, 0, event_r->event_id, sizeof event_r->event_id);
    read_text(row, 1, event_r->message_id, sizeof event_r->message_id);
    event_r->cs = (enum event_cs)sqlite3_column_int(row, 2);
    event_r->dropped_as_bounced = sqlite3_column_int(row, 3) != 0;
    event_r->source = (enum event_source)sqlite3_column_int(row, 4);
    event_r->timestamp_ms = sqlite3_column_int64(row, 5);
    read_text(row, 6, event_r->recipient, sizeof event_r->recipient);
    read_text(row, 7, event_r->sender, sizeof event_r->sender);
    read_text(row, 8, event_r->queue_id, sizeof event_r->queue_id);
    event_r->smtp_code = sqlite3_column_int(row, 9);
    read_text(row, 10, event_r->smtp_enhanced_code, sizeof event_r->smtp_enhanced_code);
    read_text(row, 11, event_r->smtp_description, sizeof event_r->smtp_description);
    read_text(row, 12, event_r->tpsp, sizeof event_r->tpsp);
    event_r->tpsp_id = sqlite3_column_int64(row, 13);
    read_text(row, 14, event_r->provider, sizeof event_r->provider);
    event_r->attempt = sqlite3_column_int(row, 15);
}

bool event_store_add(struct store *store, const struct event *event, enum event_state state, int64_t due_ms,
                     struct outcome *error_r)
{
    sqlite3_stmt *insert = store_statement(
        store,
        "INSERT INTO events (" COLUMNS ", state, due_ms, leased_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?17,?18,?18) ON CONFLICT (event_id) DO NOTHING",
        error_r);

    if (insert == NULL)
        return false;
    bind_event(insert, event);
    sqlite3_bind_int(insert, 17, (int)state);
    sqlite3_bind_int64(insert, 18, due_ms);
    bool well = store_run(store, insert, error_r);
    sqlite3_clear_bindings(insert);
    return well;
}

int event_store_find_accepted(struct store *store, const char *queue_id, const char *message_id,
                              const char *recipient, struct event *event_r, enum event_state *state_r,
                              struct outcome *error_r)
{
    sqlite3_stmt *find = store_statement(store,
                                         "SELECT " COLUMNS ", state FROM events WHERE message_id = ? AND"
                                         " queue_id = ? AND recipient = ? AND source = 0 AND cs IN (59, 60)",
                                         error_r);

    if (find == NULL)
        return -1;
    bind_text(find, 1, message_id);
    bind_text(find, 2, queue_id);
    bind_text(find, 3, recipient);
    int found = store_step(store, find, error_r);
    if (found == 1) {
        read_event(find, event_r);
        *state_r = (enum event_state)sqlite3_column_int(find, COLUMN_COUNT);
    }
    sqlite3_reset(find);
    sqlite3_clear_bindings(find);
    return found;
}

/* --- the outbox --------------------------------------------------------------------------------- */

bool event_store_settle(struct store *store, const struct event *event, enum event_state state,
                        struct outcome *error_r)
{
    sqlite3_stmt *settle =
        store_statement(store,
                        "UPDATE events SET state = ?2, dropped_as_bounced = ?3 WHERE event_id = ?1"
                        " AND state = 0",
                        error_r);

    if (settle == NULL)
        return false;
    sqlite3_bind_text(settle, 1, event->event_id, -1, SQLITE_STATIC);
    sqlite3_bind_int(settle, 2, (int)state);
    sqlite3_bind_int(settle, 3, event->dropped_as_bounced);
    bool well = store_run(store, settle, error_r);
    sqlite3_clear_bindings(settle);
    return well;
}

bool event_store_keep(struct store *store, const char *event_id, int64_t due_ms, struct outcome *error_r)
{
    sqlite3_stmt *keep =
        store_statement(store,
                        "UPDATE events SET leased_ms = 0, tries = tries + (?2 > 0),"
                        " due_ms = iif(?2 > 0, ?2, due_ms) WHERE event_id = ?1 AND state = 0",
                        error_r);

    if (keep == NULL)
        return false;
    bind_text(keep, 1, event_id);
    sqlite3_bind_int64(keep, 2, due_ms);
    bool well = store_run(store, keep, error_r);
    sqlite3_clear_bindings(keep);
    return well;
}

int event_store_tries(struct store *store, const char *event_id)
{
    struct outcome ignored;
    sqlite3_stmt *query = store_statement(store, "SELECT tries FROM events WHERE event_id = ?", &ignored);
    int tries = 0;

    if (query == NULL)
        return 0;
    bind_text(query, 1, event_id);
    if (store_step(store, query, &ignored) == 1)
        tries = sqlite3_column_int(query, 0);
    sqlite3_reset(query);
    sqlite3_clear_bindings(query);
    return tries;
}

int event_store_next_tpsp(struct store *store, const char *after, char **tpsp_r, struct outcome *error_r)
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
        bind_text(next, 1, after);
    int row = store_step(store, next, error_r);
    if (row == 1)
        *tpsp_r = xstrdup((const char *)sqlite3_column_text(next, 0));
    sqlite3_reset(next);
    sqlite3_clear_bindings(next);
    return row;
}

static bool mark_leased(struct store *store, const int64_t *ids, int count, int64_t leased_ms,
                        struct outcome *error_r)
{
    for (int i = 0; i < count; i++) {
        sqlite3_stmt *lease = store_statement(store, "UPDATE events SET leased_ms = ? WHERE id = ?", error_r);
        if (lease == NULL)
            return false;
        sqlite3_bind_int64(lease, 1, leased_ms);
        sqlite3_bind_int64(lease, 2, ids[i]);
        if (!store_run(store, lease, error_r))
            return false;
    }
    return true;
}

int event_store_lease(struct store *store, const char *tpsp, int64_t now_ms, int64_t leased_ms, int limit,
                      struct event *events_r, struct outcome *error_r)
{
    AUTO_FREE int64_t *ids = xcalloc((size_t)limit, sizeof *ids);
    int count = 0, row = -1;

    if (!store_begin(store, STORE_NORMAL, error_r))
        return -1;
    /* a time further away than anybody sets was set by a clock that has been put back since */
    sqlite3_stmt *select =
        store_statement(store,
                        "SELECT " COLUMNS ", id FROM events WHERE state = 0 AND tpsp = ?1"
                        " AND (due_ms <= ?2 OR due_ms > ?3) AND (leased_ms <= ?2 OR leased_ms > ?3)"
                        " ORDER BY due_ms, id LIMIT ?4",
                        error_r);
    if (select != NULL) {
        bind_text(select, 1, tpsp);
        sqlite3_bind_int64(select, 2, now_ms);
        sqlite3_bind_int64(select, 3, now_ms + 2 * DAY_MS);
        sqlite3_bind_int(select, 4, limit);
        while (count < limit && (row = store_step(store, select, error_r)) == 1) {
            read_event(select, &events_r[count]);
            ids[count++] = sqlite3_column_int64(select, COLUMN_COUNT);
        }
        sqlite3_reset(select);
        sqlite3_clear_bindings(select);
    }
    if (row < 0 || !mark_leased(store, ids, count, leased_ms, error_r)) {
        store_rollback(store);
        return -1;
    }
    return store_commit(store, error_r) ? count : -1;
}

bool event_store_make_due(struct store *store, int64_t now_ms, struct outcome *error_r)
{
    sqlite3_stmt *make = store_statement(store,
                                         "UPDATE events SET due_ms = ?1 WHERE state = 0 AND due_ms > ?1"
                                         " AND leased_ms <= ?1",
                                         error_r);

    if (make == NULL)
        return false;
    sqlite3_bind_int64(make, 1, now_ms);
    return store_run(store, make, error_r);
}

/* --- history ------------------------------------------------------------------------------------ */

bool event_store_count(struct store *store, enum event_state state, int64_t *count_r, struct outcome *error_r)
{
    /* pending rows have an index of their own, which is used for the literal condition only */
    sqlite3_stmt *count =
        state == EVENT_PENDING
            ? store_statement(store, "SELECT count(*) FROM events WHERE state = 0", error_r)
            : store_statement(store, "SELECT count(*) FROM events WHERE state = ? AND state <> 0", error_r);

    if (count == NULL)
        return false;
    if (state != EVENT_PENDING)
        sqlite3_bind_int(count, 1, (int)state);
    int row = store_step(store, count, error_r);
    if (row == 1)
        *count_r = sqlite3_column_int64(count, 0);
    sqlite3_reset(count);
    return row == 1;
}

/* One row a query: a reader that pauses (a person with a pager) must not hold a snapshot, and with it the WAL. */
static int read_next(struct store *store, const struct event_filter *filter, int64_t *id,
                     struct event *event_r, enum event_state *state_r, struct outcome *error_r)
{
    sqlite3_stmt *select =
        filter->message_id != NULL
            ? store_statement(store,
                              "SELECT " COLUMNS ", state, id FROM events WHERE id > ?1 AND timestamp_ms >= ?2"
                              " AND message_id = ?3 ORDER BY id LIMIT 1",
                              error_r)
            : store_statement(store,
                              "SELECT " COLUMNS ", state, id FROM events WHERE id > ?1 AND timestamp_ms >= ?2"
                              " ORDER BY id LIMIT 1",
                              error_r);

    if (select == NULL)
        return -1;
    sqlite3_bind_int64(select, 1, *id);
    sqlite3_bind_int64(select, 2, filter->since_ms);
    if (filter->message_id != NULL)
        bind_text(select, 3, filter->message_id);
    int row = store_step(store, select, error_r);
    if (row == 1) {
        read_event(select, event_r);
        *state_r = (enum event_state)sqlite3_column_int(select, COLUMN_COUNT);
        *id = sqlite3_column_int64(select, COLUMN_COUNT + 1);
    }
    sqlite3_reset(select);
    sqlite3_clear_bindings(select);
    return row;
}

bool event_store_each(struct store *store, const struct event_filter *filter,
                      bool (*see)(void *context, const struct event *event, enum event_state state),
                      void *context, struct outcome *error_r)
{
    struct event event;
    enum event_state state = EVENT_PENDING;
    int64_t id = 0;
    int row;

    while ((row = read_next(store, filter, &id, &event, &state, error_r)) == 1) {
        if ((filter->by_state && filter->state != state) ||
            (filter->recipient != NULL && !address_equal(filter->recipient, event.recipient)))
            continue;
        if (!see(context, &event, state))
            return true;
    }
    return row == 0;
}

int event_store_sweep(struct store *store, int64_t before_ms, struct outcome *error_r)
{
    /* row ids grow with time, so what is old is at the front, where only pending rows may stand in the way */
    sqlite3_stmt *sweep =
        store_statement(store,
                        "DELETE FROM events WHERE id IN (SELECT id FROM (SELECT id, state,"
                        " timestamp_ms FROM events ORDER BY id LIMIT ?1) WHERE state <> 0 AND"
                        " timestamp_ms < ?2)",
                        error_r);

    if (sweep == NULL)
        return -1;
    sqlite3_bind_int(sweep, 1, EVENT_SWEEP_ROWS);
    sqlite3_bind_int64(sweep, 2, before_ms);
    return store_run(store, sweep, error_r) ? sqlite3_changes(store_handle(store)) : -1;
}
