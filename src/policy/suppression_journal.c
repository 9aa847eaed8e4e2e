#include "policy/suppression_journal.h"

#include <stdio.h>
#include <string.h>

/* --- reading ---------------------------------------------------------------------------------------- */

static void read_row(sqlite3_stmt *row, struct suppression_change *change_r)
{
    *change_r =
        (struct suppression_change){.sequence = sqlite3_column_int64(row, 0),
                                    .entry = {.reason = (enum suppression_reason)sqlite3_column_int(row, 2),
                                              .since_ms = sqlite3_column_int64(row, 3)},
                                    .removed = sqlite3_column_int(row, 4) != 0,
                                    .changed_ms = sqlite3_column_int64(row, 5)};
    snprintf(change_r->entry.address, sizeof change_r->entry.address, "%s",
             (const char *)sqlite3_column_text(row, 1));
    snprintf(change_r->origin, sizeof change_r->origin, "%s", (const char *)sqlite3_column_text(row, 6));
    change_r->heard = sqlite3_column_int(row, 7) != 0;
}

/* The last change of all; 0: there is none. */
static bool read_end(struct store *store, int64_t *end_r, struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store, "SELECT ifnull(max(sequence), 0) FROM suppression_change", error_r);

    if (statement == NULL || store_step(store, statement, error_r) <= 0)
        return false;
    *end_r = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return true;
}

#define COLUMNS                                                                            \
    "SELECT sequence, address, reason, since_ms, removed, changed_ms, origin, heard FROM " \
    "suppression_change "
#define RANGE "WHERE sequence > ? AND sequence <= ? "
#define END "ORDER BY sequence LIMIT ?"

int suppression_journal_read(struct store *store, int64_t after, enum suppression_scope scope, int limit,
                             struct suppression_change *changes_r, int64_t *seen_r, struct outcome *error_r)
{
    static const char *const questions[] = {
        [SUPPRESSION_FOR_SENDPOST] = COLUMNS RANGE "AND origin <> '" SUPPRESSION_ORIGIN_SENDPOST "' " END,
        [SUPPRESSION_FOR_CLUSTER] = COLUMNS RANGE "AND heard = 0 " END,
        [SUPPRESSION_FOR_ANYBODY] = COLUMNS RANGE END,
    };
    int count = 0, step;

    *seen_r = after;
    if (!read_end(store, seen_r, error_r))
        return -1;
    if (*seen_r <= after)
        return 0;
    sqlite3_stmt *statement = store_statement(store, questions[scope], error_r);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, after);
    sqlite3_bind_int64(statement, 2, *seen_r);
    sqlite3_bind_int(statement, 3, limit);
    while ((step = store_step(store, statement, error_r)) > 0)
        read_row(statement, &changes_r[count++]);
    if (count == limit)
        *seen_r = changes_r[count - 1].sequence;
    return step < 0 ? -1 : count;
}

/* --- changes of others --------------------------------------------------------------------------------- */

/* 1: it counts, 0: a later one is known. */
static int is_later(struct store *store, const struct suppression_change *change, const char *self,
                    struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store,
                        "SELECT 1 FROM suppression_change WHERE address = ?1"
                        " AND (changed_ms, CASE origin WHEN '' THEN ?4 ELSE origin END) >= (?2, ?3)",
                        error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, change->entry.address, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, change->changed_ms);
    sqlite3_bind_text(statement, 3, change->origin, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, self, -1, SQLITE_STATIC);
    int step = store_step(store, statement, error_r);
    sqlite3_reset(statement);
    return step < 0 ? -1 : step == 0;
}

/* Where the list was changed the triggers have just written it as a change of ours, with a sequence of its
 * own; where there was nothing to remove they have not. */
static bool sign(struct store *store, const struct suppression_change *change, bool is_written,
                 struct outcome *error_r)
{
    sqlite3_stmt *statement =
        is_written ? store_statement(store,
                                     "UPDATE suppression_change SET reason = ?2, since_ms = ?3, removed = ?4,"
                                     " changed_ms = ?5, origin = ?6, heard = ?7 WHERE address = ?1",
                                     error_r)
                   : store_statement(store,
                                     "INSERT OR REPLACE INTO suppression_change"
                                     " (address, reason, since_ms, removed, changed_ms, origin, heard)"
                                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                                     error_r);

    if (statement == NULL)
        return false;
    sqlite3_bind_text(statement, 1, change->entry.address, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, (int)change->entry.reason);
    sqlite3_bind_int64(statement, 3, change->entry.since_ms);
    sqlite3_bind_int(statement, 4, change->removed);
    sqlite3_bind_int64(statement, 5, change->changed_ms);
    sqlite3_bind_text(statement, 6, change->origin, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 7, change->heard);
    return store_run(store, statement, error_r);
}

int suppression_journal_apply(struct store *store, const struct suppression_change *change, const char *self,
                              struct outcome *error_r)
{
    int later = is_later(store, change, self, error_r), changed = 1;

    if (later <= 0)
        return later;
    if (change->removed)
        changed = suppression_remove(store, change->entry.address, SUPPRESSION_CASE_SENSITIVE, error_r);
    else if (!suppression_add(store, &change->entry, error_r))
        changed = -1;
    return changed >= 0 && sign(store, change, changed > 0, error_r) ? 1 : -1;
}

int suppression_journal_holds(struct store *store, const struct suppression *entry, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store, "SELECT 1 FROM suppression_change WHERE address = ? AND removed = 0 AND reason = ?", error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, entry->address, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, (int)entry->reason);
    int step = store_step(store, statement, error_r);
    sqlite3_reset(statement);
    return step;
}
