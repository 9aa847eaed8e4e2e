#include "sendpost/sync_store.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "policy/suppression_journal.h"

bool sync_store_put_number(struct store *store, const char *key, int64_t number, struct outcome *error_r)
{
    AUTO_FREE char *text = number != 0 ? xasprintf("%" PRId64, number) : NULL;

    return store_put(store, key, text, error_r);
}

static void fold(const char *address, char key_r[ADDRESS_SIZE])
{
    size_t i = 0;

    for (; address[i] != '\0' && i + 1 < ADDRESS_SIZE; i++)
        key_r[i] = (char)tolower((unsigned char)address[i]);
    key_r[i] = '\0';
}

/* --- what is known of the list there
 * ------------------------------------------------------------------------ */

struct known {
    int reason;
    int64_t created_ns, seen;
};

/* 1, 0, or -1 with *error_r set. */
static int find(struct store *store, const char *key, struct known *known_r, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store, "SELECT reason, created_ns, seen FROM sendpost_suppression WHERE address = ?", error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    int step = store_step(store, statement, error_r);
    if (step > 0)
        *known_r = (struct known){.reason = sqlite3_column_int(statement, 0),
                                  .created_ns = sqlite3_column_int64(statement, 1),
                                  .seen = sqlite3_column_int64(statement, 2)};
    sqlite3_reset(statement);
    return step;
}

static bool put(struct store *store, const char *key, int reason, int64_t created_ns, int64_t seen,
                struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store,
        "INSERT OR REPLACE INTO sendpost_suppression (address, reason, created_ns, seen) VALUES (?, ?, ?, ?)",
        error_r);

    if (statement == NULL)
        return false;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, reason);
    sqlite3_bind_int64(statement, 3, created_ns);
    sqlite3_bind_int64(statement, 4, seen);
    return store_run(store, statement, error_r);
}

static bool drop(struct store *store, const char *address, struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store, "DELETE FROM sendpost_suppression WHERE address = ?", error_r);
    char key[ADDRESS_SIZE];

    if (statement == NULL)
        return false;
    fold(address, key);
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    return store_run(store, statement, error_r);
}

bool sync_store_has(struct store *store, const struct suppression *entry)
{
    char key[ADDRESS_SIZE];
    struct known known;
    struct outcome ignored;

    fold(entry->address, key);
    return find(store, key, &known, &ignored) > 0 && known.reason == (int)entry->reason;
}

bool sync_store_knows(struct store *store, const char *address)
{
    char key[ADDRESS_SIZE];
    struct known known;
    struct outcome ignored;

    fold(address, key);
    return find(store, key, &known, &ignored) > 0;
}

static bool run(struct store *store, const char *sql, int64_t pass, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(store, sql, error_r);

    if (statement == NULL)
        return false;
    sqlite3_bind_int64(statement, 1, pass);
    return store_run(store, statement, error_r);
}

/* In no pass so far; what a pass does not show is looked up then. */
bool sync_store_inherit(struct store *store, struct outcome *error_r)
{
    return run(store,
               "INSERT OR IGNORE INTO sendpost_suppression (address, reason, created_ns, seen)"
               " SELECT lower(address), reason, since_ms * 1000000, ?1 FROM suppression_change"
               " WHERE origin = '" SUPPRESSION_ORIGIN_SENDPOST "' AND removed = 0",
               0, error_r);
}

static bool end(struct store *store, bool ok, struct outcome *error_r)
{
    if (ok && store_commit(store, error_r))
        return true;
    store_rollback(store);
    return false;
}

bool sync_store_forget(struct store *store, const struct suppression *entries, size_t count,
                       struct outcome *error_r)
{
    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = drop(store, entries[i].address, error_r);
    return end(store, ok, error_r);
}

bool sync_store_note(struct store *store, const struct suppression *entries, size_t count,
                     const struct api_suppressions *made, struct outcome *error_r)
{
    int64_t pass = (int64_t)store_get_number(store, SYNC_PASS);
    char key[ADDRESS_SIZE];

    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) { /* one that was there already may be missing in the answer */
        fold(entries[i].address, key);
        ok = put(store, key, (int)entries[i].reason, entries[i].since_ms * 1000000, pass, error_r);
    }
    for (size_t i = 0; ok && i < made->count; i++) {
        fold(made->items[i].entry.address, key);
        ok = put(store, key, (int)made->items[i].entry.reason, made->items[i].created_ns, pass, error_r);
    }
    return end(store, ok, error_r);
}

/* --- what comes from there
 * ------------------------------------------------------------------------------------ */

/*
 * Whether a removal of ours that has been sent is all that stands against an entry: then it was made there
 * after that, whatever the clocks say.
 */
static int is_after_our_removal(struct store *store, const char *address, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store, "SELECT 1 FROM suppression_change WHERE address = ? AND removed = 1 AND sequence <= ?",
        error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, address, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (int64_t)store_get_number(store, SYNC_SENT));
    int step = store_step(store, statement, error_r);
    sqlite3_reset(statement);
    return step;
}

static bool apply(struct store *store, const struct suppression *entry, uint64_t *taken,
                  struct outcome *error_r)
{
    struct suppression_change change = {
        .entry = *entry, .changed_ms = entry->since_ms, .origin = SUPPRESSION_ORIGIN_SENDPOST};
    int held = suppression_journal_holds(store, entry, error_r);

    if (held != 0) /* a host of the cluster has sent it there: no news */
        return held > 0;
    int applied = suppression_journal_apply(store, &change, "", error_r);

    if (applied == 0) {
        int after = is_after_our_removal(store, entry->address, error_r);
        if (after <= 0)
            return after == 0;
        change.changed_ms = clock_realtime_ms();
        applied = suppression_journal_apply(store, &change, "", error_r);
    }
    *taken += applied > 0;
    return applied >= 0;
}

static bool take_one(struct store *store, const struct api_suppression *item, int64_t pass, uint64_t *taken,
                     struct outcome *error_r)
{
    char key[ADDRESS_SIZE];
    struct known known = {.reason = -1};

    fold(item->entry.address, key);
    int found = find(store, key, &known, error_r);
    if (found < 0)
        return false;
    bool same = found > 0 && known.reason == (int)item->entry.reason && known.created_ns == item->created_ns;
    if (same && known.seen == pass)
        return true;
    return put(store, key, (int)item->entry.reason, item->created_ns, pass, error_r) &&
           (same || apply(store, &item->entry, taken, error_r));
}

/* It is there, whatever is said of it: what is known of it stays. */
static bool see_unclear(struct store *store, const struct api_suppression *item, int64_t pass,
                        struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store, "UPDATE sendpost_suppression SET seen = ? WHERE address = ?", error_r);
    char key[ADDRESS_SIZE];

    if (statement == NULL)
        return false;
    fold(item->entry.address, key);
    sqlite3_bind_int64(statement, 1, pass);
    sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
    return store_run(store, statement, error_r);
}

bool sync_store_take(struct store *store, const struct api_suppressions *list, uint64_t *taken_r,
                     struct outcome *error_r)
{
    int64_t pass = (int64_t)store_get_number(store, SYNC_PASS);

    if (list->all == 0)
        return true;
    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    bool ok = true;
    for (size_t i = list->all - list->unclear; ok && i < list->all; i++)
        ok = see_unclear(store, &list->items[i], pass, error_r);
    for (size_t i = 0; ok && i < list->count; i++)
        ok = take_one(store, &list->items[i], pass, taken_r, error_r);
    return end(store, ok, error_r);
}

bool sync_store_count_absent(struct store *store, int64_t *gone_r, int64_t *all_r, struct outcome *error_r)
{
    int64_t pass = (int64_t)store_get_number(store, SYNC_PASS);

    if (!run(store,
             "DELETE FROM sendpost_suppression WHERE seen < ?1 AND NOT EXISTS"
             " (SELECT 1 FROM suppression WHERE suppression.address COLLATE NOCASE = "
             "sendpost_suppression.address)",
             pass, error_r))
        return false;
    sqlite3_stmt *statement = store_statement(
        store, "SELECT count(*), count(*) FILTER (WHERE seen < ?1) FROM sendpost_suppression", error_r);
    if (statement == NULL)
        return false;
    sqlite3_bind_int64(statement, 1, pass);
    if (store_step(store, statement, error_r) <= 0)
        return false;
    *all_r = sqlite3_column_int64(statement, 0);
    *gone_r = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    return true;
}

int sync_store_next_absent(struct store *store, const char *after, struct api_suppression *next_r,
                           struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(store,
                                              "SELECT address, reason, created_ns FROM sendpost_suppression"
                                              " WHERE address > ?2 AND seen < ?1 ORDER BY address LIMIT 1",
                                              error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, (int64_t)store_get_number(store, SYNC_PASS));
    sqlite3_bind_text(statement, 2, after, -1, SQLITE_STATIC);
    int step = store_step(store, statement, error_r);
    if (step > 0) {
        *next_r = (struct api_suppression){.entry.reason =
                                               (enum suppression_reason)sqlite3_column_int(statement, 1),
                                           .created_ns = sqlite3_column_int64(statement, 2)};
        next_r->entry.since_ms = next_r->created_ns / 1000000;
        snprintf(next_r->entry.address, sizeof next_r->entry.address, "%s",
                 (const char *)sqlite3_column_text(statement, 0));
    }
    sqlite3_reset(statement);
    return step;
}

bool sync_store_remove(struct store *store, const struct suppression *entry, struct outcome *error_r)
{
    struct suppression_change change = {.entry = *entry,
                                        .removed = true,
                                        .changed_ms = clock_realtime_ms(),
                                        .origin = SUPPRESSION_ORIGIN_SENDPOST};

    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    sqlite3_stmt *spellings = store_statement(
        store, "SELECT address FROM suppression_change WHERE removed = 0 AND address = ? COLLATE NOCASE",
        error_r);
    bool ok = spellings != NULL;
    if (ok) {
        sqlite3_bind_text(spellings, 1, entry->address, -1, SQLITE_STATIC);
        if (store_step(store, spellings, error_r) > 0)
            snprintf(change.entry.address, sizeof change.entry.address, "%s",
                     (const char *)sqlite3_column_text(spellings, 0));
        sqlite3_reset(spellings);
        ok = suppression_journal_apply(store, &change, "", error_r) >= 0 &&
             drop(store, entry->address, error_r);
    }
    return end(store, ok, error_r);
}

/* --- domains
 * ---------------------------------------------------------------------------------------------------- */

static bool put_domain(struct store *store, const struct api_domain *domain, int64_t seen,
                       struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store,
        "INSERT OR REPLACE INTO sendpost_domain (name, host, target, verified, seen) VALUES (?, ?, ?, ?, ?)",
        error_r);

    if (statement == NULL)
        return false;
    sqlite3_bind_text(statement, 1, domain->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, domain->host, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, domain->target, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 4, domain->verified);
    sqlite3_bind_int64(statement, 5, seen);
    return store_run(store, statement, error_r);
}

bool sync_store_domains(struct store *store, const struct api_domains *list, bool first, bool last,
                        struct outcome *error_r)
{
    int64_t number = (int64_t)store_get_number(store, SYNC_DOMAINS) + first;

    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    bool ok = sync_store_put_number(store, SYNC_DOMAINS, number, error_r);
    for (size_t i = 0; ok && i < list->count; i++)
        ok = put_domain(store, &list->items[i], number, error_r);
    if (ok && last) {
        sqlite3_stmt *statement =
            store_statement(store, "DELETE FROM sendpost_domain WHERE seen < ?", error_r);
        ok = statement != NULL;
        if (ok) {
            sqlite3_bind_int64(statement, 1, number);
            ok = store_run(store, statement, error_r);
        }
    }
    return end(store, ok, error_r);
}

int sync_store_each_domain(struct store *store, void (*visit)(void *context, struct api_domain *domain),
                           void *context, struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store, "SELECT name, host, target, verified FROM sendpost_domain ORDER BY name", error_r);
    int count = 0, step;

    if (statement == NULL)
        return -1;
    for (; (step = store_step(store, statement, error_r)) > 0; count++) {
        struct api_domain domain = {.verified = sqlite3_column_int(statement, 3) != 0};
        snprintf(domain.name, sizeof domain.name, "%s", (const char *)sqlite3_column_text(statement, 0));
        snprintf(domain.host, sizeof domain.host, "%s", (const char *)sqlite3_column_text(statement, 1));
        snprintf(domain.target, sizeof domain.target, "%s", (const char *)sqlite3_column_text(statement, 2));
        visit(context, &domain);
    }
    return step < 0 ? -1 : count;
}
