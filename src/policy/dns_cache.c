#include "policy/dns_cache.h"

#include "base/log.h"
#include "base/xalloc.h"

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static sqlite3_int64 slot_of(const char *key)
{
    uint32_t hash = 2166136261u;

    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return (hash ^ hash >> 16) % DNS_CACHE_SLOTS;
}

char *dns_cache_get(struct store *store, const char *type, const char *name, int64_t now_ms)
{
    char *key AUTO_FREE = xasprintf("%s %s", type, name);
    char *value = NULL;
    struct outcome error;
    sqlite3_stmt *statement;

    if (store == NULL)
        return NULL;
    statement = store_statement(
        store, "SELECT value FROM dns_cache WHERE slot = ? AND key = ? AND expires_ms > ?", &error);
    if (statement == NULL)
        return NULL;
    sqlite3_bind_int64(statement, 1, slot_of(key));
    sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, now_ms);
    if (store_step(store, statement, &error) > 0 && sqlite3_column_text(statement, 0) != NULL)
        value = xstrdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_reset(statement);
    return value;
}

void dns_cache_put(struct store *store, const char *type, const char *name, const char *value,
                   int64_t expires_ms)
{
    char *key AUTO_FREE = xasprintf("%s %s", type, name);
    struct outcome error;
    sqlite3_stmt *statement;

    if (store == NULL)
        return;
    statement = store_statement(
        store, "INSERT OR REPLACE INTO dns_cache (slot, key, value, expires_ms) VALUES (?, ?, ?, ?)", &error);
    if (statement != NULL) {
        sqlite3_bind_int64(statement, 1, slot_of(key));
        sqlite3_bind_text(statement, 2, key, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 3, value, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 4, expires_ms);
    }
    if (statement == NULL || !store_run(store, statement, &error))
        log_line(LOG_WARNING, "DNS answer for %s not cached: %s", name, error.text);
}
