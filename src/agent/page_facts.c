#include "agent/page_facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent/page_findings.h"
#include "agent/page_store.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "event/event_store.h"
#include "policy/counters.h"
#include "policy/limit_words.h"

#define TURN_MS 300 /* of reading the store */
#define MINUTE_MS 60000

struct page_facts *page_facts_new(const struct config *config, struct queue_watch *queue)
{
    struct page_facts *facts = xcalloc(1, sizeof *facts);

    facts->config = config;
    facts->queue_watch = queue;
    facts->domain_watch = domain_watch_start(config);
    facts->tpsps = xcalloc(config->tpsp_count, sizeof *facts->tpsps);
    facts->tally = page_tally_new(config);
    return facts;
}

/* --- store ------------------------------------------------------------------------------------------ */

static void read_ladder(struct page_ladder *ladder, struct page_store *store)
{
    sqlite3_stmt *row = page_store_ask(
        store,
        "SELECT min(attempts, ?), held, count(*), min(due_ms), min(first_ms) FROM deliveries GROUP BY 1, 2");
    struct page_ladder fresh = {.known = row != NULL};
    int result = SQLITE_DONE;

    if (row != NULL)
        sqlite3_bind_int(row, 1, PAGE_RUNGS - 1);
    while (row != NULL && (result = sqlite3_step(row)) == SQLITE_ROW) {
        int attempts = sqlite3_column_int(row, 0);
        int64_t count = sqlite3_column_int64(row, 2), due_ms = sqlite3_column_int64(row, 3),
                first_ms = sqlite3_column_int64(row, 4);
        fresh.waiting += count;
        fresh.held += sqlite3_column_int(row, 1) != 0 ? count : 0;
        if (attempts >= 0 && attempts < PAGE_RUNGS)
            fresh.by_attempts[attempts] += count;
        fresh.next_ms = fresh.next_ms == 0 || due_ms < fresh.next_ms ? due_ms : fresh.next_ms;
        fresh.oldest_ms = fresh.oldest_ms == 0 || first_ms < fresh.oldest_ms ? first_ms : fresh.oldest_ms;
    }
    sqlite3_finalize(row);
    fresh.known = fresh.known && result == SQLITE_DONE;
    *ladder = fresh;
}

/* Accepted by the TPSP within the last hour, to the minute. */
static int64_t count_hour(struct page_store *store, const char *tpsp, int64_t now_ms)
{
    sqlite3_stmt *row = page_store_ask(store, "SELECT ifnull(sum(count), 0) FROM tally WHERE minute > ?2"
                                              " AND tpsp = ?1 AND cs IN (59, 60)");
    int64_t count = -1;

    if (row == NULL)
        return -1;
    sqlite3_bind_text(row, 1, tpsp, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 2, (now_ms - PAGE_HOUR_MS) / 60000);
    if (sqlite3_step(row) == SQLITE_ROW)
        count = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return count;
}

static bool read_store(struct page_facts *facts, struct page_store *store, struct page_feed *feed)
{
    read_ladder(&facts->ladder, store);
    for (size_t i = 0; i < facts->config->tpsp_count; i++)
        facts->tpsps[i].last_hour = count_hour(store, facts->config->tpsps[i].name, facts->now_ms);
    return page_tally_turn(facts->tally, store, facts->now_ms, feed);
}

/* --- limits ----------------------------------------------------------------------------------------- */

/* 27 providers with the same limit that nothing was sent to say nothing. */
static bool is_shown(const struct config_tpsp *tpsp, const struct rate_limit *limit)
{
    const struct config_rate *usual = &tpsp->provider_rates[PROVIDER_DEFAULT];

    return limit->provider == NULL || limit->entry != NULL || limit->rate.limit != usual->limit ||
           limit->rate.window_ms != usual->window_ms;
}

/* In a cluster the server alone knows how much of a limit is left. */
static void add_limit(struct page_facts *facts, size_t index, struct rate_table *table,
                      struct rate_limit *limit, struct store *store)
{
    const struct config_tpsp *settings = &facts->config->tpsps[index];
    struct page_tpsp *tpsp = &facts->tpsps[index];
    struct page_limit *shown = &tpsp->limits[tpsp->limit_count];
    struct limit_now now = {.limit = limit, .used = -1};
    int64_t next = 0;
    struct outcome ignored;
    uint64_t used;
    char text[RATE_TEXT_SIZE];

    now.available = rate_limit_peek(table, limit, &next);
    if (tpsp->limit_count == PAGE_LIMITS || !is_shown(settings, limit))
        return;
    now.next_s = (next - rate_table_now(table) + 999999999) / 1000000000;
    if (store != NULL && limit->rate.window_ms >= MINUTE_MS &&
        event_store_used(store, settings->name, limit->provider, facts->now_ms - limit->rate.window_ms, &used,
                         &ignored))
        now.used = (int64_t)used;
    AUTO_FREE char *words =
        facts->config->cluster.server_count > 0 ? xstrdup(rate_text(&limit->rate, text)) : limit_words(&now);
    shown->provider = limit->provider;
    snprintf(shown->text, sizeof shown->text, "%s", words);
    tpsp->limit_count++;
}

/* provider: -1 for all. */
static void add_slow_down(struct page_facts *facts, size_t index, struct rate_table *table, int provider)
{
    struct page_tpsp *tpsp = &facts->tpsps[index];
    const struct slow_down slow_down = {.config = facts->config,
                                        .table = table,
                                        .tpsp = &facts->config->tpsps[index],
                                        .provider = provider < 0 ? PROVIDER_DEFAULT
                                                                 : (enum provider_category)provider};
    struct slow_down_view *view = &tpsp->slow_downs[tpsp->slow_count];

    if (tpsp->slow_count == PAGE_SLOW_DOWNS || !slow_down_look(&slow_down, provider >= 0, view))
        return;
    view->until_ns -= rate_table_now(table);
    tpsp->slow_providers[tpsp->slow_count++] =
        provider < 0 ? NULL : provider_category_name((enum provider_category)provider);
}

static void add_suspension(void *context, const struct suspension_scope *scope,
                           const struct suspension *suspension)
{
    char name[SUSPENSION_NAME_SIZE], text[SUSPENSION_TEXT_SIZE];
    struct page_facts *facts = context;
    struct page_suspension *one = &facts->suspensions[facts->suspension_count];

    if (facts->suspension_count == PAGE_SUSPENSIONS)
        return;
    snprintf(one->text, sizeof one->text, "%s is suspended %s", suspension_name(scope, name),
             suspension_text(suspension, text));
    snprintf(one->command, sizeof one->command, "sendpostctl resume %s%.64s%s%s",
             scope->pool != NULL ? "--pool " : "", scope->pool != NULL ? scope->pool : scope->tpsp,
             scope->provider != NULL ? "/" : "", scope->provider != NULL ? scope->provider : "");
    facts->suspension_count++;
}

static void note_certificate(void *context, const struct counters_series *series)
{
    struct page_facts *facts = context;

    for (size_t i = 0; series->kind == COUNTERS_CERTIFICATE && i < facts->config->tpsp_count; i++)
        if (strcmp(facts->config->tpsps[i].name, series->tpsp) == 0)
            facts->tpsps[i].certificate_ms = (int64_t)atomic_load(&series->values[0]);
}

static void read_certificates(struct page_facts *facts)
{
    struct counters *counters = counters_open(facts->config->state_dir);

    counters_each(counters, note_certificate, facts);
    counters_close(counters);
}

/* store: NULL where it cannot be read now. */
static void read_limits(struct page_facts *facts, struct store *store)
{
    const struct config *config = facts->config;
    struct rate_table *table;
    struct outcome error;

    if (!rate_table_open(&table, config->state_dir, &rate_clock_system, &error))
        return;
    facts->suspension_count = 0;
    suspension_each(config, table, facts->now_ms, add_suspension, facts);
    for (size_t i = 0; i < config->tpsp_count; i++) {
        struct page_tpsp *tpsp = &facts->tpsps[i];
        tpsp->limit_count = tpsp->slow_count = 0;
        for (int provider = -1; provider < PROVIDER_COUNT; provider++)
            add_slow_down(facts, i, table, provider);
        tpsp->breaker = breaker_look(table, config->tpsps[i].name);
        if (tpsp->breaker.state == BREAKER_OPEN)
            tpsp->breaker.until_ns -= rate_table_now(table);
        for (int provider = 0; provider < PROVIDER_COUNT; provider++) {
            struct rate_set set;
            if (!rate_set_init(&set, &config->tpsps[i], (enum provider_category)provider, config->rate_burst,
                               &error))
                break;
            for (size_t j = 0; j < set.count; j++) /* those for all come with each provider */
                if (provider == 0 || set.limits[j].provider != NULL)
                    add_limit(facts, i, table, &set.limits[j], store);
        }
    }
    rate_table_close(table);
}

bool page_facts_gather(struct page_facts *facts, struct board *board, struct page_feed *feed)
{
    struct page_store store;
    struct statvfs disk;

    facts->now_ms = clock_realtime_ms();
    board_read(board, &facts->board);
    facts->store_known = page_store_open(&store, facts->config->state_dir, TURN_MS);
    bool more = facts->store_known && read_store(facts, &store, feed);
    read_limits(facts, facts->store_known ? store.store : NULL);
    if (facts->store_known)
        page_store_close(&store);
    read_certificates(facts);
    facts->disk_free = statvfs(facts->config->state_dir, &disk) == 0 && disk.f_blocks > 0
                           ? (double)disk.f_bavail / (double)disk.f_blocks
                           : -1;
    facts->queue = queue_watch_look(facts->queue_watch);
    facts->backlog_known = queue_watch_backlog(facts->queue_watch, &facts->backlog);
    facts->domain_count = domain_watch_look(facts->domain_watch, facts->domains);
    page_findings(facts);
    return more;
}
