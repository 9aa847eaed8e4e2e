#include "store/store_salvage.h"

#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define TIME_MS 120000
#define TABLES_MAX 64
#define BATCH_ROWS 20000
/* an accepted delivery is asked for as long as Postfix may still try it */
#define RECENT_MS (5 * 86400000LL)

struct salvage {
    sqlite3 *from, *into;
    int64_t deadline_ms;
    bool failed; /* the new file cannot be written */
    int batch;   /* rows since the last commit */
    struct store_salvage_result result;
};

/* No index is used to read: one may be what is corrupt. */
static char *select_rows(const char *table, const char *order)
{
    AUTO_FREE char *wanted = strcmp(table, "events") == 0
                                 ? xasprintf("WHERE +state IN (0, 2) OR +timestamp_ms > %lld",
                                             (long long)(clock_realtime_ms() - RECENT_MS))
                                 : xstrdup("");

    return xasprintf("SELECT * FROM \"%s\" NOT INDEXED %s %s", table, wanted, order);
}

/* The numbers of events are given anew: another process may have used them meanwhile. */
static bool is_copied(const char *table, const char *column)
{
    return strcmp(table, "events") != 0 || strcmp(column, "id") != 0;
}

/* What is there already wins, and that holds for what triggers write as well. Not of the tally: there the
 * triggers have counted the events that were brought over, and the old row knows of the others, too. */
static const char *policy_for(const char *table)
{
    return strcmp(table, "tally") == 0 ? "REPLACE" : "IGNORE";
}

/* Columns by name: the file may be of another version. */
static sqlite3_stmt *prepare_insert(sqlite3 *into, sqlite3_stmt *rows, const char *table)
{
    AUTO_FREE char *names = xstrdup(""), *marks = xstrdup("");
    sqlite3_stmt *insert = NULL;

    for (int i = 0; i < sqlite3_column_count(rows); i++) {
        const char *column = sqlite3_column_name(rows, i);
        if (column == NULL || !is_copied(table, column) || strchr(column, '"') != NULL)
            continue;
        char *more_names = xasprintf("%s%s\"%s\"", names, *names ? ", " : "", column);
        char *more_marks = xasprintf("%s%s?%d", marks, *marks ? ", " : "", i + 1);
        cleanup_free(&names);
        cleanup_free(&marks);
        names = more_names;
        marks = more_marks;
    }
    AUTO_FREE char *sql =
        xasprintf("INSERT OR %s INTO \"%s\" (%s) VALUES (%s)", policy_for(table), table, names, marks);
    return sqlite3_prepare_v2(into, sql, -1, &insert, NULL) == SQLITE_OK ? insert : NULL;
}

/* A batch at a time: whoever goes on after a death finds again what is committed, and gets further. */
static bool commit_batch(struct salvage *salvage)
{
    salvage->batch = 0;
    return sqlite3_exec(salvage->into, "COMMIT; BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;
}

/* A row that this file does not take is left out; false when it takes none. */
static bool insert_row(struct salvage *salvage, sqlite3_stmt *insert, sqlite3_stmt *rows)
{
    for (int i = 0; i < sqlite3_column_count(rows); i++)
        /* one that is not copied has no mark */
        sqlite3_bind_value(insert, i + 1, sqlite3_column_value(rows, i));
    int result = sqlite3_step(insert);
    if (result == SQLITE_DONE)
        salvage->result.rows += sqlite3_changes(salvage->into);
    sqlite3_reset(insert);
    if (result != SQLITE_DONE && (result & 0xff) != SQLITE_CONSTRAINT && (result & 0xff) != SQLITE_MISMATCH)
        return false;
    return ++salvage->batch < BATCH_ROWS || commit_batch(salvage);
}

/* Returns whether the table was read to its end. */
static bool copy_rows(struct salvage *salvage, const char *table, const char *order)
{
    AUTO_FREE char *sql = select_rows(table, order);
    sqlite3_stmt *rows = NULL, *insert = NULL;
    int result = SQLITE_ERROR;

    if (sqlite3_prepare_v2(salvage->from, sql, -1, &rows, NULL) == SQLITE_OK)
        insert = prepare_insert(salvage->into, rows, table);
    while (insert != NULL && !salvage->failed && (result = sqlite3_step(rows)) == SQLITE_ROW) {
        salvage->failed = !insert_row(salvage, insert, rows);
        if (clock_monotonic_ms() > salvage->deadline_ms) { /* pages that point at each other have no end */
            salvage->result.complete = false;
            break;
        }
    }
    sqlite3_finalize(rows);
    sqlite3_finalize(insert);
    return result == SQLITE_DONE;
}

/* The numbers that were given by AUTOINCREMENT are not given again, not even where the rows cannot be read:
 * who has told others of them would take the new ones for told. */
static void keep_numbers(struct salvage *salvage)
{
    sqlite3_stmt *rows = NULL, *keep = NULL;

    if (sqlite3_prepare_v2(salvage->from, "SELECT name, max(seq) FROM sqlite_sequence GROUP BY name", -1,
                           &rows, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(salvage->into,
                           "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2 WHERE NOT EXISTS"
                           " (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
                           -1, &keep, NULL) == SQLITE_OK)
        while (!salvage->failed && sqlite3_step(rows) == SQLITE_ROW) {
            sqlite3_bind_value(keep, 1, sqlite3_column_value(rows, 0));
            sqlite3_bind_value(keep, 2, sqlite3_column_value(rows, 1));
            salvage->failed = sqlite3_step(keep) != SQLITE_DONE;
            sqlite3_reset(keep);
        }
    sqlite3_finalize(rows);
    sqlite3_finalize(keep);
}

/* The journal of the suppression list before the list, of which triggers would write it anew, as of now. */
#define TABLES                                                                        \
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'" \
    " ORDER BY name <> 'suppression_change', rowid"

static void copy_tables(struct salvage *salvage)
{
    AUTO_FREE char **tables = xcalloc(TABLES_MAX, sizeof *tables);
    sqlite3_stmt *names = NULL;
    size_t count = 0;

    if (sqlite3_prepare_v2(salvage->into, TABLES, -1, &names, NULL) == SQLITE_OK)
        while (count < TABLES_MAX && sqlite3_step(names) == SQLITE_ROW)
            tables[count++] = xstrdup((const char *)sqlite3_column_text(names, 0));
    sqlite3_finalize(names);
    for (size_t i = 0; i < count; i++) {
        if (salvage->failed || !salvage->result.complete) {
            cleanup_free(&tables[i]);
            continue;
        }
        /* from the other end as well, to get at what is behind the damage; a table without rowid has its key
         * first */
        if (!copy_rows(salvage, tables[i], ""))
            if (!copy_rows(salvage, tables[i], "ORDER BY rowid DESC"))
                copy_rows(salvage, tables[i], "ORDER BY 1 DESC");
        cleanup_free(&tables[i]);
    }
}

/* A row that is read twice, by the one before us, say, is added once: for that the events have an index for
 * as long as this takes. */
static bool copy_all(struct salvage *salvage)
{
    if (sqlite3_exec(salvage->into,
                     "PRAGMA synchronous=FULL; BEGIN IMMEDIATE;"
                     "CREATE UNIQUE INDEX IF NOT EXISTS salvaged ON events (event_id)",
                     NULL, NULL, NULL) != SQLITE_OK)
        return false;
    if (salvage->from != NULL) {
        keep_numbers(salvage);
        copy_tables(salvage);
    }
    return !salvage->failed &&
           sqlite3_exec(salvage->into, "DROP INDEX salvaged; COMMIT; PRAGMA synchronous=NORMAL", NULL, NULL,
                        NULL) == SQLITE_OK;
}

bool store_salvage(sqlite3 *into, const char *path, struct store_salvage_result *result_r)
{
    struct salvage salvage = {
        .into = into, .deadline_ms = clock_monotonic_ms() + TIME_MS, .result.complete = true};
    int on = 1;

    if (sqlite3_open_v2(path, &salvage.from, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
        SQLITE_OK) {
        sqlite3_file_control(salvage.from, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
        sqlite3_db_config(salvage.from, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_busy_timeout(salvage.from, 1000);
    } else {
        sqlite3_close(salvage.from); /* somebody took it away: there is nothing to bring over */
        salvage.from = NULL;
        salvage.result.complete = false;
    }
    bool done = copy_all(&salvage);
    sqlite3_close(salvage.from);
    *result_r = salvage.result;
    return done;
}
