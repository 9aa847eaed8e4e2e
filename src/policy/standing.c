#include "policy/standing.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

static char *endpoint_of(const struct config_tpsp *tpsp)
{
    return xasprintf("%s:%u/%d", tpsp->host, (unsigned)tpsp->port, (int)tpsp->security);
}

static void read_text(sqlite3_stmt *row, int column, char *text_r, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(row, column);

    snprintf(text_r, size, "%s", text != NULL ? text : "");
}

bool standing_read(struct store *store, const struct config_tpsp *tpsp, struct standing *standing_r,
                   struct outcome *error_r)
{
    sqlite3_stmt *select =
        store_statement(store,
                        "SELECT greeted_ms, held_ms, held_cause, held_text, held_mend FROM standing"
                        " WHERE tpsp = ? AND endpoint = ?",
                        error_r);
    AUTO_FREE char *endpoint = endpoint_of(tpsp);

    *standing_r = (struct standing){0};
    if (select == NULL)
        return false;
    sqlite3_bind_text(select, 1, tpsp->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(select, 2, endpoint, -1, SQLITE_STATIC);
    int row = store_step(store, select, error_r);
    if (row > 0) {
        standing_r->greeted_ms = sqlite3_column_int64(select, 0);
        standing_r->held_ms = sqlite3_column_int64(select, 1);
        standing_r->cause = (enum outcome_cause)sqlite3_column_int(select, 2);
        read_text(select, 3, standing_r->text, sizeof standing_r->text);
        read_text(select, 4, standing_r->mend, sizeof standing_r->mend);
    }
    sqlite3_reset(select);
    sqlite3_clear_bindings(select);
    return row >= 0;
}

bool standing_holds(const struct outcome *outcome)
{
    return outcome->class == OUTCOME_DEFERRED && outcome->cause != CAUSE_UNREACHABLE &&
           (outcome->cause == CAUSE_OURS || outcome_of_tpsp(outcome));
}

static bool write_row(struct store *store, const struct config_tpsp *tpsp, const struct standing *standing,
                      struct outcome *error_r)
{
    sqlite3_stmt *replace = store_statement(store,
                                            "INSERT OR REPLACE INTO standing (tpsp, endpoint, greeted_ms,"
                                            " held_ms, held_cause, held_text, held_mend)"
                                            " VALUES (?, ?, ?, ?, ?, ?, ?)",
                                            error_r);
    AUTO_FREE char *endpoint = endpoint_of(tpsp);

    if (replace == NULL)
        return false;
    sqlite3_bind_text(replace, 1, tpsp->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(replace, 2, endpoint, -1, SQLITE_STATIC);
    sqlite3_bind_int64(replace, 3, standing->greeted_ms);
    sqlite3_bind_int64(replace, 4, standing->held_ms);
    sqlite3_bind_int(replace, 5, (int)standing->cause);
    sqlite3_bind_text(replace, 6, standing->text, -1, SQLITE_STATIC);
    sqlite3_bind_text(replace, 7, standing->mend, -1, SQLITE_STATIC);
    bool ok = store_run(store, replace, error_r);
    sqlite3_clear_bindings(replace);
    return ok;
}

static void tell(const struct config_tpsp *tpsp, const struct standing *before, const struct standing *after,
                 int64_t now_ms)
{
    if (after->held_ms != 0 && before->held_ms == 0)
        log_line(LOG_ERR, "mail for %s is held until this is mended: %s%s%s", tpsp->name, after->text,
                 after->mend[0] != '\0' ? "; see " : "", after->mend);
    else if (after->held_ms == 0 && before->held_ms != 0)
        log_line(LOG_NOTICE, "mail for %s goes on, after it was held for %lld s", tpsp->name,
                 (long long)((now_ms - before->held_ms) / 1000));
}

bool standing_note(struct store *store, const struct config_tpsp *tpsp, bool greeted, const char *mend,
                   int64_t now_ms, struct outcome *outcome, struct outcome *error_r)
{
    struct standing before;

    if (!standing_read(store, tpsp, &before, error_r)) {
        if (outcome->cause == CAUSE_UNREACHABLE)
            outcome->cause = CAUSE_OURS; /* what cannot be known is not held against the message */
        return false;
    }
    struct standing after = before;
    if (greeted && after.greeted_ms == 0)
        after.greeted_ms = now_ms;
    if (outcome->cause == CAUSE_UNREACHABLE && after.greeted_ms == 0)
        outcome->cause = CAUSE_OURS;
    if (standing_holds(outcome)) {
        after.held_ms = before.held_ms != 0 ? before.held_ms : now_ms;
        after.cause = outcome->cause;
        snprintf(after.text, sizeof after.text, "%s", outcome->text);
        snprintf(after.mend, sizeof after.mend, "%s", mend);
    } else if (outcome->cause == CAUSE_NONE || outcome->cause == CAUSE_MESSAGE) {
        after = (struct standing){.greeted_ms = after.greeted_ms};
    }
    if (before.greeted_ms == after.greeted_ms && before.held_ms == after.held_ms &&
        before.cause == after.cause && strcmp(before.text, after.text) == 0 &&
        strcmp(before.mend, after.mend) == 0)
        return true;
    if (!write_row(store, tpsp, &after, error_r))
        return false;
    tell(tpsp, &before, &after, now_ms);
    return true;
}

static bool count_held(struct store *store, const struct config_tpsp *tpsp, int64_t *messages_r,
                       struct outcome *error_r)
{
    sqlite3_stmt *count =
        store_statement(store, "SELECT count(*) FROM deliveries WHERE held = 1 AND tpsp = ?", error_r);

    if (count == NULL)
        return false;
    sqlite3_bind_text(count, 1, tpsp->name, -1, SQLITE_STATIC);
    int row = store_step(store, count, error_r);
    *messages_r = row > 0 ? sqlite3_column_int64(count, 0) : 0;
    sqlite3_reset(count);
    sqlite3_clear_bindings(count);
    return row >= 0;
}

bool standing_each_held(struct store *store, const struct config *config,
                        void (*see)(void *context, const struct config_tpsp *tpsp,
                                    const struct standing *standing, int64_t messages),
                        void *context, struct outcome *error_r)
{
    for (size_t i = 0; i < config->tpsp_count; i++) {
        struct standing standing;
        int64_t messages = 0;
        if (!standing_read(store, &config->tpsps[i], &standing, error_r) ||
            (standing.held_ms != 0 && !count_held(store, &config->tpsps[i], &messages, error_r)))
            return false;
        if (standing.held_ms != 0)
            see(context, &config->tpsps[i], &standing, messages);
    }
    return true;
}
