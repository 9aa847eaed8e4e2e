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
}

int suppression_journal_read(struct store *store, int64_t after, bool own, int limit,
                             struct suppression_change *changes_r, struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store,
                        "SELECT sequence, address, reason, since_ms, removed, changed_ms, origin"
                        " FROM suppression_change WHERE sequence > ? AND (origin = '' OR ? = 0)"
                        " ORDER BY sequence LIMIT ?",
                        error_r);
    int count = 0, step;

    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, after);
    sqlite3_bind_int(statement, 2, own);
    sqlite3_bind_int(statement, 3, limit);
    while ((step = store_step(store, statement, error_r)) > 0)
        read_row(statement, &changes_r[count++]);
    return step < 0 ? -1 : count;
}

/* --- changes of others --------------------------------------------------------------------------------- */

/* 1: it counts, 0: a later one is known. */
static int is_later(struct store *store, const struct suppression_change *change, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store, "SELECT 1 FROM suppression_change WHERE address = ?1 AND (changed_ms, origin) >= (?2, ?3)",
        error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, change->entry.address, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, change->changed_ms);
    sqlite3_bind_text(statement, 3, change->origin, -1, SQLITE_STATIC);
    int step = store_step(store, statement, error_r);
    sqlite3_reset(statement);
    return step < 0 ? -1 : step == 0;
}

/* The triggers have written it as a change of ours, or not at all where there was nothing to remove. */
static bool sign(struct store *store, const struct suppression_change *change, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store,
        "INSERT OR REPLACE INTO suppression_change (address, reason, since_ms, removed, changed_ms, origin)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        error_r);

    if (statement == NULL)
        return false;
    sqlite3_bind_text(statement, 1, change->entry.address, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, (int)change->entry.reason);
    sqlite3_bind_int64(statement, 3, change->entry.since_ms);
    sqlite3_bind_int(statement, 4, change->removed);
    sqlite3_bind_int64(statement, 5, change->changed_ms);
    sqlite3_bind_text(statement, 6, change->origin, -1, SQLITE_STATIC);
    return store_run(store, statement, error_r);
}

int suppression_journal_apply(struct store *store, const struct suppression_change *change,
                              struct outcome *error_r)
{
    int later = is_later(store, change, error_r);

    if (later <= 0)
        return later;
    bool ok = change->removed
                  ? suppression_remove(store, change->entry.address, SUPPRESSION_CASE_SENSITIVE, error_r) >= 0
                  : suppression_add(store, &change->entry, error_r);
    return ok && sign(store, change, error_r) ? 1 : -1;
}
