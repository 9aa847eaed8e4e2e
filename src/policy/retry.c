#include "policy/retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* A record that nobody has touched for so long belongs to a message that is no more in the queue: Postfix
 * gives up after maximal_queue_lifetime, 5 days by default; and a step of the schedule is 30 days at most. */
#define KEPT_MS (40ll * 24 * 3600 * 1000)
#define SWEPT_AT_ONCE "10"
#define HELD_AGAIN_MS (3600ll * 1000)

bool retry_counts(const struct outcome *outcome)
{
    return outcome->class == OUTCOME_DEFERRED &&
           (outcome->cause == CAUSE_UNREACHABLE || outcome->cause == CAUSE_MESSAGE ||
            outcome->cause == CAUSE_IN_DOUBT);
}

static void bind_key(sqlite3_stmt *statement, const struct retry_key *key)
{
    sqlite3_bind_text(statement, 1, key->queue_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, key->recipient, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, key->uuid, -1, SQLITE_STATIC);
}

static int64_t longest(const struct config *config)
{
    int64_t longest_ms = 0;

    for (size_t i = 0; i < config->retry.schedule_count; i++)
        if (config->retry.schedule_ms[i] > longest_ms)
            longest_ms = config->retry.schedule_ms[i];
    return longest_ms;
}

/* "451 " in front of the remote end's words, nothing in front of ours. */
static const char *code_text(int smtp_code, char buffer[16])
{
    buffer[0] = '\0';
    if (smtp_code > 0)
        snprintf(buffer, 16, "%d ", smtp_code);
    return buffer;
}

static void not_due(const struct config *config, int attempts, int64_t due_ms, int smtp_code,
                    const char *enhanced, const char *text, struct outcome *outcome_r)
{
    char due[CLOCK_RFC3339_SIZE], code[16];

    outcome_set(outcome_r, OUTCOME_DEFERRED, CAUSE_POLICY, 0, enhanced,
                "not due before %s; attempt %d of %zu failed: %s%s", clock_rfc3339(due_ms, due), attempts,
                config->retry.schedule_count + 1, code_text(smtp_code, code), text);
}

bool retry_due(struct store *store, const struct config *config, const struct retry_key *key, int64_t now_ms,
               struct retry_past *past_r, struct outcome *outcome_r)
{
    sqlite3_stmt *statement;
    bool due = true;

    *past_r = (struct retry_past){0};
    if (*key->queue_id == '\0')
        return true;
    statement = store_statement(store,
                                "SELECT attempts, due_ms, smtp_enhanced_code, smtp_description, smtp_code, "
                                "held, last_ms FROM deliveries"
                                " WHERE queue_id = ? AND recipient = ? AND message_id = ?",
                                outcome_r);
    if (statement == NULL)
        return false;
    bind_key(statement, key);
    switch (store_step(store, statement, outcome_r)) {
    case 1: {
        int64_t due_ms = sqlite3_column_int64(statement, 1);
        *past_r = (struct retry_past){.listed = true,
                                      .held = sqlite3_column_int(statement, 5) != 0,
                                      .last_ms = sqlite3_column_int64(statement, 6),
                                      .attempts = sqlite3_column_int(statement, 0)};
        /* further ahead than the schedule can reach: the clock, or the schedule, was set back */
        due = due_ms <= now_ms || due_ms - now_ms > longest(config);
        if (!due)
            not_due(config, past_r->attempts, due_ms, sqlite3_column_int(statement, 4),
                    (const char *)sqlite3_column_text(statement, 2),
                    (const char *)sqlite3_column_text(statement, 3), outcome_r);
        break;
    }
    case 0:
        break;
    default:
        due = false;
    }
    sqlite3_reset(statement);
    return due;
}

/* --- count ------------------------------------------------------------------------------------------ */

static bool sweep(struct store *store, int64_t now_ms, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store,
        "DELETE FROM deliveries WHERE (queue_id, recipient) IN (SELECT queue_id, recipient FROM "
        "deliveries WHERE last_ms < ? ORDER BY last_ms LIMIT " SWEPT_AT_ONCE ")",
        error_r);

    if (statement == NULL)
        return false;
    sqlite3_bind_int64(statement, 1, now_ms - KEPT_MS);
    return store_run(store, statement, error_r);
}

static void give_up(int attempts, int64_t since_ms, struct outcome *outcome)
{
    const char *doubt = outcome->cause == CAUSE_IN_DOUBT ? " (it may have been accepted)" : "";
    char since[CLOCK_RFC3339_SIZE], code[16];

    outcome_set(outcome, OUTCOME_DROPPED, CAUSE_POLICY, outcome->smtp_code, "5.4.7",
                "given up after %d attempts since %s%s; the last: %s%s", attempts,
                clock_rfc3339(since_ms, since), doubt, code_text(outcome->smtp_code, code), outcome->text);
}

struct row {
    const char *sender, *tpsp;
    int64_t now_ms, due_ms, first_ms;
    int attempts;
    bool held;
};

static bool write_row(struct store *store, const struct retry_key *key, const struct row *row,
                      const struct outcome *outcome, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store,
        "INSERT OR REPLACE INTO deliveries (queue_id, recipient, message_id, sender, tpsp, attempts,"
        " due_ms, first_ms, last_ms, smtp_code, smtp_enhanced_code, smtp_description, held)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        error_r);

    if (statement == NULL)
        return false;
    bind_key(statement, key);
    sqlite3_bind_text(statement, 4, row->sender, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, row->tpsp, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 6, row->attempts);
    sqlite3_bind_int64(statement, 7, row->due_ms);
    sqlite3_bind_int64(statement, 8, row->first_ms);
    sqlite3_bind_int64(statement, 9, row->now_ms);
    sqlite3_bind_int(statement, 10, outcome->smtp_code);
    sqlite3_bind_text(statement, 11, outcome->enhanced, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 12, outcome->text, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 13, row->held);
    return store_run(store, statement, error_r);
}

static bool read_row(struct store *store, const struct retry_key *key, int *attempts_r, int64_t *first_ms_r,
                     struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(store,
                                              "SELECT attempts, first_ms FROM deliveries"
                                              " WHERE queue_id = ? AND recipient = ? AND message_id = ?",
                                              error_r);
    int step;

    if (statement == NULL)
        return false;
    bind_key(statement, key);
    step = store_step(store, statement, error_r);
    if (step > 0) {
        *attempts_r = sqlite3_column_int(statement, 0);
        *first_ms_r = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    return step >= 0;
}

bool retry_failed(struct store *store, const struct config *config, const struct retry_key *key,
                  const char *sender, const char *tpsp, int64_t now_ms, struct outcome *outcome,
                  struct outcome *error_r)
{
    int attempts = 0;
    int64_t first_ms = now_ms;

    if (*key->queue_id == '\0' || config->retry.schedule_count == 0)
        return true;
    if (!read_row(store, key, &attempts, &first_ms, error_r))
        return false;
    attempts++;
    if ((size_t)attempts > config->retry.schedule_count) {
        give_up(attempts, first_ms, outcome);
        return retry_forget(store, key, error_r);
    }
    struct row row = {.sender = sender,
                      .tpsp = tpsp,
                      .now_ms = now_ms,
                      .due_ms = now_ms + config->retry.schedule_ms[attempts - 1],
                      .first_ms = first_ms,
                      .attempts = attempts};
    return write_row(store, key, &row, outcome, error_r) && sweep(store, now_ms, error_r);
}

bool retry_held(struct store *store, const struct retry_key *key, const struct retry_past *past,
                const char *sender, const char *tpsp, int64_t now_ms, const struct outcome *outcome,
                struct outcome *error_r)
{
    struct row row = {.sender = sender, .tpsp = tpsp, .now_ms = now_ms, .first_ms = now_ms, .held = true};

    if (*key->queue_id == '\0')
        return true;
    if (past->held && now_ms - past->last_ms < HELD_AGAIN_MS && past->last_ms <= now_ms)
        return true;
    if (past->listed && !read_row(store, key, &row.attempts, &row.first_ms, error_r))
        return false;
    return write_row(store, key, &row, outcome, error_r) && sweep(store, now_ms, error_r);
}

bool retry_forget(struct store *store, const struct retry_key *key, struct outcome *error_r)
{
    sqlite3_stmt *statement;

    if (*key->queue_id == '\0')
        return true;
    statement = store_statement(
        store, "DELETE FROM deliveries WHERE queue_id = ? AND recipient = ? AND message_id = ?", error_r);
    if (statement == NULL)
        return false;
    bind_key(statement, key);
    return store_run(store, statement, error_r);
}

int retry_now(struct store *store, const char *queue_id, struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store, "UPDATE deliveries SET due_ms = min(due_ms, ?2) WHERE queue_id = ?1", error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, queue_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, clock_realtime_ms());
    return store_run(store, statement, error_r) ? sqlite3_changes(store_handle(store)) : -1;
}
