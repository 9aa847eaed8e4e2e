/*
 * large_store: a store with so many events of the last week, for tests/bench/store.
 *
 *     large_store STATE_DIR COUNT
 *     large_store STATE_DIR sweep CALLS HOURS
 *
 * Three of five are deliveries, the rest of the agent; all but the last thousand reported, one in a hundred
 * thousand rejected. Two of five go to one domain, as mail does, and one in a thousand to one recipient
 * there. They are put in without indexes and triggers, which are made behind them. Prints queue id, message
 * UUID, Message-ID and recipient of one in the middle, and the busy recipient.
 *
 * sweep: deletes what is older than the oldest and so many hours, a call of the sweep at a time, and prints
 * rows and milliseconds of each: how long the others wait.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "event/event_index.h"
#include "event/event_row.h"

#define WEEK_MS (7 * 86400000LL)
#define ADD                                                                          \
    "INSERT INTO events (" EVENT_ROW_COLUMNS ", state, identity, header_message_id)" \
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"

static struct store *store;

static void run(const char *sql)
{
    if (sqlite3_exec(store_handle(store), sql, NULL, NULL, NULL) != SQLITE_OK)
        errx(EXIT_FAILURE, "%s: %s", sql, sqlite3_errmsg(store_handle(store)));
}

/* A random number that is the same in every run. */
static uint64_t next(void)
{
    static uint64_t state = 88172645463325252;

    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

#define BUSY_DOMAIN "gmail.com"
#define BUSY_RECIPIENT "everybody@" BUSY_DOMAIN

static const char *const providers[] = {"default", "yahoo",  "microsoft", "comcast",
                                        "gmx",     "icloud", "office365"};

static void name_recipient(struct event *event)
{
    unsigned domain = (unsigned)next() % 8333; /* 5000 to 8332: the busy one */

    snprintf(event->provider, sizeof event->provider, "%s",
             domain >= 5000 ? "gmail" : providers[domain % (sizeof providers / sizeof *providers)]);
    if (next() % 1000 == 0)
        snprintf(event->recipient, sizeof event->recipient, BUSY_RECIPIENT);
    else if (domain >= 5000)
        snprintf(event->recipient, sizeof event->recipient, "user%lld@" BUSY_DOMAIN,
                 (long long)(next() % 2000000));
    else
        snprintf(event->recipient, sizeof event->recipient, "user%lld@example%u.com",
                 (long long)(next() % 2000000), domain);
}

static struct event make(int64_t number, int64_t count, int64_t now_ms)
{
    bool delivery = number % 5 < 3, failed = number % 29 == 0;
    struct event event = {.cs = failed ? CS_DEFERRED : CS_DELIVERED,
                          .source = delivery ? EVENT_SOURCE_PIPE : EVENT_SOURCE_AGENT,
                          .timestamp_ms =
                              now_ms - WEEK_MS + (int64_t)((double)number / (double)count * WEEK_MS),
                          .smtp_code = failed ? 450 : 250,
                          .tpsp_id = 12,
                          .attempt = 1};

    snprintf(event.event_id, sizeof event.event_id, "%08x-%04x-5000-8000-%04x%08x", (unsigned)next(),
             (unsigned)number & 0xffff, (unsigned)(number >> 32) & 0xffff, (unsigned)number);
    snprintf(event.message_id, sizeof event.message_id, "%08x-%04x-5000-8000-%04x%08x", (unsigned)next(),
             (unsigned)number & 0xffff, (unsigned)next() & 0xffff, (unsigned)next());
    name_recipient(&event);
    snprintf(event.sender, sizeof event.sender, "sender@example.org");
    snprintf(event.queue_id, sizeof event.queue_id, "4b%010llX", (long long)number);
    snprintf(event.smtp_enhanced_code, sizeof event.smtp_enhanced_code, failed ? "4.2.2" : "2.0.0");
    snprintf(event.smtp_description, sizeof event.smtp_description, "%s Ok: queued as 7F3A%08X",
             event.smtp_enhanced_code, (unsigned)number);
    snprintf(event.tpsp, sizeof event.tpsp, "%s", !delivery ? "" : number % 3 ? "primary" : "backup");
    return event;
}

static void add_all(int64_t count)
{
    sqlite3_stmt *insert = NULL;
    int64_t now_ms = clock_realtime_ms();

    if (sqlite3_prepare_v2(store_handle(store), ADD, -1, &insert, NULL) != SQLITE_OK)
        errx(EXIT_FAILURE, "%s", sqlite3_errmsg(store_handle(store)));
    run("BEGIN");
    for (int64_t number = 0; number < count; number++) {
        struct event event = make(number, count, now_ms);
        char header_message_id[64];
        snprintf(header_message_id, sizeof header_message_id, "<%lld.x@example.org>", (long long)number);
        event_row_bind(insert, &event);
        sqlite3_bind_int(insert, EVENT_ROW_COUNT + 1,
                         number >= count - 1000 ? EVENT_PENDING
                                                : (number % 100000 == 7 ? EVENT_REJECTED : EVENT_REPORTED));
        sqlite3_bind_int64(insert, EVENT_ROW_COUNT + 2, event_row_identity(&event));
        sqlite3_bind_text(insert, EVENT_ROW_COUNT + 3, header_message_id, -1, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE)
            errx(EXIT_FAILURE, "%s", sqlite3_errmsg(store_handle(store)));
        sqlite3_reset(insert);
        if (number == count / 2)
            printf("%s %s %s %s %s\n", event.queue_id, event.message_id, header_message_id, event.recipient,
                   BUSY_RECIPIENT);
        if (number % 200000 == 199999)
            run("COMMIT; PRAGMA wal_checkpoint(TRUNCATE); BEGIN");
    }
    run("COMMIT");
    sqlite3_finalize(insert);
}

/* What stands on the events, taken away, or made again from its own words. */
struct parts {
    char *sql[16], *drop[16];
    size_t count;
};

static struct parts take_away(void)
{
    struct parts parts = {.count = 0};
    sqlite3_stmt *names = NULL;

    sqlite3_prepare_v2(
        store_handle(store),
        "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = 'events' AND type <> 'table'", -1, &names,
        NULL);
    while (sqlite3_step(names) == SQLITE_ROW && parts.count < 16) {
        parts.drop[parts.count] = xasprintf("DROP %s %s", (const char *)sqlite3_column_text(names, 0),
                                            (const char *)sqlite3_column_text(names, 1));
        parts.sql[parts.count++] = xstrdup((const char *)sqlite3_column_text(names, 2));
    }
    sqlite3_finalize(names);
    for (size_t i = 0; i < parts.count; i++) {
        run(parts.drop[i]);
        free(parts.drop[i]);
    }
    return parts;
}

static void sweep(long calls, long hours)
{
    int64_t from = 0, oldest_ms, before_ms;
    sqlite3_stmt *oldest = NULL;
    struct outcome error;

    sqlite3_prepare_v2(store_handle(store), "SELECT timestamp_ms FROM events ORDER BY id LIMIT 1", -1,
                       &oldest, NULL);
    oldest_ms = sqlite3_step(oldest) == SQLITE_ROW ? sqlite3_column_int64(oldest, 0) : 0;
    sqlite3_finalize(oldest);
    before_ms = oldest_ms + hours * 3600000L;
    while (calls-- > 0) {
        int64_t begun_us = clock_monotonic_us();
        int rows = event_store_sweep(store, before_ms, before_ms, &from, &error);
        if (rows < 0)
            errx(EXIT_FAILURE, "%s", error.text);
        printf("%d %.3f\n", rows, (double)(clock_monotonic_us() - begun_us) / 1000);
    }
}

static void fill(int64_t count)
{
    struct outcome error;

    run("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000");
    struct parts parts = take_away();
    add_all(count);
    run("INSERT INTO tally SELECT timestamp_ms / 60000, tpsp, provider, cs, count(*),"
        " sum(source = 0 AND tpsp <> '' AND (cs IN (59, 60) OR smtp_code > 0)) FROM events"
        " WHERE timestamp_ms > (SELECT max(timestamp_ms) FROM events) - 48 * 3600000 GROUP BY 1, 2, 3, 4;"
        "INSERT INTO event_block SELECT id >> 12, max(timestamp_ms) / 3600000 FROM events GROUP BY 1");
    for (size_t i = 0; i < parts.count; i++) {
        run(parts.sql[i]);
        free(parts.sql[i]);
        run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    if (!event_index_catch_up(store, INT64_MAX, &error))
        errx(EXIT_FAILURE, "%s", error.text);
}

int main(int argc, char **argv)
{
    struct outcome error = {.text = "usage: large_store STATE_DIR COUNT | sweep CALLS HOURS"};

    if (argc < 3 || !store_open(&store, argv[1], &error))
        errx(EXIT_FAILURE, "%s", error.text);
    if (argc == 5 && strcmp(argv[2], "sweep") == 0)
        sweep(strtol(argv[3], NULL, 10), strtol(argv[4], NULL, 10));
    else
        fill(strtoll(argv[2], NULL, 10));
    store_close(store);
    return EXIT_SUCCESS;
}
