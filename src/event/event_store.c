#include "event/event_store.h"

#include <stdio.h>
#include <string.h>

#include "base/xalloc.h"
#include "event/event_row.h"

#define FINAL_KINDS 3 /* delivered, sent, dropped */

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

/* 1: it is there. */
static int find_event(struct store *store, const struct event *event, struct outcome *error_r)
{
    sqlite3_stmt *find =
        store_statement(store, "SELECT 1 FROM events WHERE identity = ? AND event_id = ?", error_r);

    if (find == NULL)
        return -1;
    sqlite3_bind_int64(find, 1, event_row_identity(event));
    event_row_bind_text(find, 2, event->event_id);
    int found = store_step(store, find, error_r);
    sqlite3_reset(find);
    sqlite3_clear_bindings(find);
    return found;
}

static bool insert_event(struct store *store, const struct event *event, const struct event_mail *mail,
                         enum event_state state, int64_t due_ms, struct outcome *error_r)
{
    sqlite3_stmt *insert =
        store_statement(store,
                        "INSERT INTO events (" EVENT_ROW_COLUMNS ", state, due_ms, identity,"
                        " header_message_id, subject)"
                        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?17,?18,?19,?20,?21)",
                        error_r);

    if (insert == NULL)
        return false;
    event_row_bind(insert, event);
    sqlite3_bind_int(insert, 17, (int)state);
    sqlite3_bind_int64(insert, 18, due_ms);
    sqlite3_bind_int64(insert, 19, event_row_identity(event));
    event_row_bind_text(insert, 20, mail != NULL ? mail->message_id : "");
    event_row_bind_text(insert, 21, mail != NULL ? mail->subject : "");
    bool ok = store_run(store, insert, error_r);
    sqlite3_clear_bindings(insert);
    return ok;
}

bool event_store_add_of(struct store *store, const struct event *event, const struct event_mail *mail,
                        enum event_state state, int64_t due_ms, struct outcome *error_r)
{
    bool own = !store_in_transaction(store); /* nobody may add it between the question and the answer */

    if (own && !store_begin(store, STORE_NORMAL, error_r))
        return false;
    int found = find_event(store, event, error_r);
    bool ok = found == 1 || (found == 0 && insert_event(store, event, mail, state, due_ms, error_r));
    if (own && ok)
        return store_commit(store, error_r);
    if (own)
        store_rollback(store);
    return ok;
}

bool event_store_add(struct store *store, const struct event *event, enum event_state state, int64_t due_ms,
                     struct outcome *error_r)
{
    return event_store_add_of(store, event, NULL, state, due_ms, error_r);
}

int event_store_read(struct store *store, int64_t row, struct event *event_r, enum event_state *state_r,
                     struct event_mail *mail_r, struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store,
                                           "SELECT " EVENT_ROW_COLUMNS_ID ", state, header_message_id,"
                                           " subject FROM events WHERE id = ?",
                                           error_r);

    if (select == NULL)
        return -1;
    sqlite3_bind_int64(select, 1, row);
    int found = store_step(store, select, error_r);
    if (found == 1) {
        event_row_read(select, event_r);
        *state_r = (enum event_state)sqlite3_column_int(select, EVENT_ROW_COUNT + 1);
        snprintf(mail_r->message_id, sizeof mail_r->message_id, "%s",
                 (const char *)sqlite3_column_text(select, EVENT_ROW_COUNT + 2));
        snprintf(mail_r->subject, sizeof mail_r->subject, "%s",
                 (const char *)sqlite3_column_text(select, EVENT_ROW_COUNT + 3));
    }
    sqlite3_reset(select);
    return found;
}

/* Each of the ways in which a message ends has one id for all time (event_identify()). */
static void bind_ends(sqlite3_stmt *find, struct event *wanted, const char *content,
                      char ids[FINAL_KINDS][UUID_SIZE])
{
    static const enum event_cs kinds[FINAL_KINDS] = {CS_DELIVERED, CS_SENT, CS_DROPPED};

    for (int i = 0; i < FINAL_KINDS; i++) {
        wanted->cs = kinds[i];
        event_identify(wanted, content);
        memcpy(ids[i], wanted->event_id, UUID_SIZE);
        sqlite3_bind_int64(find, 2 + i, event_row_identity(wanted));
        event_row_bind_text(find, 2 + FINAL_KINDS + i, ids[i]);
    }
}

/* One statement for all: nearly every message is asked for once, in vain, and a statement costs more than a
 * look-up. */
#define SELECT_END(identity, event_id)                                              \
    "SELECT " EVENT_ROW_COLUMNS_ID ", state FROM events WHERE identity = " identity \
    " AND event_id = " event_id " AND queue_id = ?1 AND source = 0"

int event_store_find_final(struct store *store, const char *queue_id, const char *message_id,
                           const char *recipient, const char *content, struct event *event_r,
                           enum event_state *state_r, struct outcome *error_r)
{
    struct event wanted = {0};
    char ids[FINAL_KINDS][UUID_SIZE];
    int found = 0, row = 1;
    sqlite3_stmt *find = store_statement(
        store,
        SELECT_END("?2", "?5") " UNION ALL " SELECT_END("?3", "?6") " UNION ALL " SELECT_END("?4", "?7"),
        error_r);

    if (find == NULL)
        return -1;
    snprintf(wanted.message_id, sizeof wanted.message_id, "%s", message_id);
    snprintf(wanted.recipient, sizeof wanted.recipient, "%s", recipient);
    snprintf(wanted.queue_id, sizeof wanted.queue_id, "%s", queue_id);
    event_row_bind_text(find, 1, queue_id);
    bind_ends(find, &wanted, content, ids);
    /* a version that did not know of its own drops may have delivered after one */
    while ((found == 0 || event_r->cs == CS_DROPPED) && (row = store_step(store, find, error_r)) == 1) {
        event_row_read(find, event_r);
        *state_r = (enum event_state)sqlite3_column_int(find, EVENT_ROW_COUNT + 1);
        found = 1;
    }
    sqlite3_reset(find);
    sqlite3_clear_bindings(find);
    return row < 0 ? -1 : found;
}

int event_store_knows(struct store *store, const char *queue_id, const char *message_id,
                      const char *recipient, struct outcome *error_r)
{
    sqlite3_stmt *find = store_statement(store,
                                         "SELECT 1 FROM events WHERE identity BETWEEN ?4 AND ?5"
                                         " AND message_id = ?2 AND queue_id = ?1 AND recipient = ?3"
                                         " UNION ALL SELECT 1 FROM deliveries WHERE queue_id = ?1"
                                         " AND recipient = ?3 AND message_id = ?2 LIMIT 1",
                                         error_r);

    if (find == NULL)
        return -1;
    event_row_bind_text(find, 1, queue_id);
    event_row_bind_text(find, 2, message_id);
    event_row_bind_text(find, 3, recipient);
    sqlite3_bind_int64(find, 4, event_row_first(message_id));
    sqlite3_bind_int64(find, 5, event_row_last(message_id));
    int found = store_step(store, find, error_r);
    sqlite3_reset(find);
    sqlite3_clear_bindings(find);
    return found;
}

bool event_store_sent(struct store *store, const char *message_id,
                      bool (*see)(void *context, const struct event *event), void *context,
                      struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store,
                                           "SELECT " EVENT_ROW_COLUMNS_ID " FROM events"
                                           " WHERE identity BETWEEN ?1 AND ?2 AND message_id = ?3"
                                           " AND source <> ?4 AND recipient <> '' LIMIT ?5",
                                           error_r);
    bool go_on = true;
    int row = 1;

    if (select == NULL)
        return false;
    sqlite3_bind_int64(select, 1, event_row_first(message_id));
    sqlite3_bind_int64(select, 2, event_row_last(message_id));
    event_row_bind_text(select, 3, message_id);
    sqlite3_bind_int(select, 4, EVENT_SOURCE_BOUNCE);
    sqlite3_bind_int(select, 5, EVENT_SENT_MAX);
    while (go_on && (row = store_step(store, select, error_r)) == 1) {
        struct event event;
        event_row_read(select, &event);
        go_on = see(context, &event);
    }
    sqlite3_reset(select);
    sqlite3_clear_bindings(select);
    return row >= 0;
}

int64_t event_store_retry_rejected(struct store *store, const char *message_id, int64_t now_ms,
                                   struct outcome *error_r)
{
    if (!store_begin(store, STORE_DURABLE, error_r))
        return -1;
    sqlite3_stmt *update =
        store_statement(store,
                        "UPDATE events SET state = 0, due_ms = ?1, put_off_ms = 0, tries = 0"
                        " WHERE state = 2 AND (?2 IS NULL OR message_id = ?2)",
                        error_r);
    if (update == NULL) {
        store_rollback(store);
        return -1;
    }
    sqlite3_bind_int64(update, 1, now_ms);
    if (message_id != NULL)
        sqlite3_bind_text(update, 2, message_id, -1, SQLITE_STATIC);
    bool ok = store_run(store, update, error_r);
    int64_t count = sqlite3_changes(store_handle(store));
    sqlite3_clear_bindings(update);
    if (!ok) {
        store_rollback(store);
        return -1;
    }
    return store_commit(store, error_r) ? count : -1;
}

/* --- history ------------------------------------------------------------------------------------ */

bool event_store_count(struct store *store, enum event_state state, int64_t *count_r, struct outcome *error_r)
{
    /* those that are asked for all the time have an index of their own, which is used for a literal condition
     * only */
    sqlite3_stmt *count =
        state == EVENT_PENDING
            ? store_statement(store, "SELECT count(*) FROM events WHERE state = 0", error_r)
        : state == EVENT_REJECTED
            ? store_statement(store, "SELECT count(*) FROM events WHERE state = 2", error_r)
            : store_statement(store, "SELECT count(*) FROM events WHERE state = ?", error_r);

    if (count == NULL)
        return false;
    if (state != EVENT_PENDING && state != EVENT_REJECTED)
        sqlite3_bind_int(count, 1, (int)state);
    int row = store_step(store, count, error_r);
    if (row == 1)
        *count_r = sqlite3_column_int64(count, 0);
    sqlite3_reset(count);
    return row == 1;
}

/* The last of the rows from this one on that one call looks at; 0: none are left. Their places in the index
 * are looked up, so that what is not in memory is read before others have to wait for it. */
static int64_t end_of_reach(struct store *store, int64_t from, int64_t before_ms, struct outcome *error_r)
{
    sqlite3_stmt *reach =
        store_statement(store,
                        "SELECT max(id), min(timestamp_ms), sum(iif(timestamp_ms < ?3,"
                        " (SELECT count(*) FROM events WHERE identity = old.identity), 0))"
                        " FROM (SELECT id, timestamp_ms, identity FROM events WHERE id >= ?1"
                        " ORDER BY id LIMIT ?2) AS old",
                        error_r);
    if (reach == NULL)
        return -1;
    sqlite3_bind_int64(reach, 1, from);
    sqlite3_bind_int(reach, 2, EVENT_SWEEP_ROWS);
    sqlite3_bind_int64(reach, 3, before_ms);
    int row = store_step(store, reach, error_r);
    int64_t last =
        row == 1 && sqlite3_column_int64(reach, 1) < before_ms ? sqlite3_column_int64(reach, 0) : 0;
    sqlite3_reset(reach);
    return row == 1 ? last : -1;
}

int event_store_sweep(struct store *store, int64_t before_ms, int64_t proof_ms, int64_t *from,
                      struct outcome *error_r)
{
    int64_t last = end_of_reach(store, *from, before_ms, error_r);
    sqlite3_stmt *sweep = store_statement(store,
                                          "DELETE FROM events WHERE id BETWEEN ? AND ? AND state <> 0"
                                          " AND timestamp_ms < ? AND (timestamp_ms < ? OR source <> 0"
                                          " OR cs NOT IN (59, 60, 62) OR queue_id = '')",
                                          error_r);

    if (last < 0 || sweep == NULL)
        return -1;
    sqlite3_bind_int64(sweep, 1, *from);
    sqlite3_bind_int64(sweep, 2, last);
    sqlite3_bind_int64(sweep, 3, before_ms);
    sqlite3_bind_int64(sweep, 4, proof_ms);
    *from = last > 0 ? last + 1 : 0;
    if (last == 0)
        return 0;
    return store_run(store, sweep, error_r) ? sqlite3_changes(store_handle(store)) : -1;
}
