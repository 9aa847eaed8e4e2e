#include "agent/page_tally.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/redact.h"
#include "base/xalloc.h"
#include "event/event_row.h"
#include "event/event_store.h"
#include "policy/provider.h"
#include "policy/provider_rules.h"

#define ROWS 4000 /* in one turn, each way */
#define STATE_COLUMN (EVENT_ROW_COUNT + 1)
#define COLUMNS EVENT_ROW_COLUMNS_ID ", state"

struct page_tally {
    const struct config *config;
    struct provider_rules *providers;
    int64_t hour;           /* since 1970, the latest that is counted */
    int64_t newest, oldest; /* rows that are counted, with all between them; 0: none yet */
    int64_t oldest_ms;      /* time stamp of the oldest */
    bool complete;
    struct page_counts by_provider[PAGE_HOURS][PROVIDER_COUNT]; /* by hour modulo */
    struct page_counts *by_tpsp[PAGE_HOURS];
    struct page_reason reasons[PAGE_REASONS];
};

const char *page_fate_name(enum page_fate fate)
{
    static const char *const names[PAGE_FATES] = {"delivered", "deferred", "dropped", "bounced",
                                                  "soft_bounced"};

    return names[fate];
}

static enum page_fate fate_of(enum event_cs cs)
{
    switch (cs) {
    case CS_DEFERRED:
        return PAGE_DEFERRED;
    case CS_DROPPED:
        return PAGE_DROPPED;
    case CS_HARD_BOUNCED:
        return PAGE_BOUNCED;
    case CS_SOFT_BOUNCED:
        return PAGE_SOFT_BOUNCED;
    default:
        return PAGE_DELIVERED;
    }
}

struct page_tally *page_tally_new(const struct config *config)
{
    struct page_tally *tally = xcalloc(1, sizeof *tally);
    AUTO_FREE char *path = provider_file(config);
    struct outcome error;

    tally->config = config;
    tally->providers = provider_rules_open(path, &error);
    if (tally->providers == NULL) /* which is logged where mail is sent */
        tally->providers = provider_rules_open(NULL, &error);
    for (size_t i = 0; i < PAGE_HOURS; i++)
        tally->by_tpsp[i] = xcalloc(config->tpsp_count + 1, sizeof **tally->by_tpsp);
    return tally;
}

/* --- hours ---------------------------------------------------------------------------------------- */

static void clear_hour(struct page_tally *tally, int64_t hour)
{
    size_t place = (size_t)(hour % PAGE_HOURS);

    memset(tally->by_provider[place], 0, sizeof tally->by_provider[place]);
    memset(tally->by_tpsp[place], 0, (tally->config->tpsp_count + 1) * sizeof **tally->by_tpsp);
    for (size_t i = 0; i < PAGE_REASONS; i++)
        tally->reasons[i].by_hour[place] = 0;
}

/* The clock has gone on, or was set. */
static void move_to(struct page_tally *tally, int64_t hour)
{
    if (hour < tally->hour || hour >= tally->hour + PAGE_HOURS)
        tally->hour = hour - PAGE_HOURS;
    while (tally->hour < hour)
        clear_hour(tally, ++tally->hour);
}

static void begin_again(struct page_tally *tally)
{
    tally->hour -= PAGE_HOURS;
    move_to(tally, tally->hour + PAGE_HOURS);
    memset(tally->reasons, 0, sizeof tally->reasons);
    tally->newest = tally->oldest = tally->oldest_ms = 0;
    tally->complete = false;
}

/* --- one event -------------------------------------------------------------------------------------- */

/* What the pipe has not said is told by the domain, as far as that goes. */
static enum provider_category provider_of(const struct page_tally *tally, const struct event *event)
{
    enum provider_category category = PROVIDER_DEFAULT;
    char domain[PROVIDER_NAME_SIZE];
    const char *at = address_domain(event->recipient);

    if (*event->provider != '\0' && provider_category_by_name(event->provider, &category))
        return category;
    size_t length = at != NULL ? strlen(at) : 0;
    if (length >= sizeof domain)
        return PROVIDER_DEFAULT;
    for (size_t i = 0; i < length; i++)
        domain[i] = (char)tolower((unsigned char)at[i]);
    domain[length] = '\0';
    const struct provider_rule *rule = provider_rules_exact(tally->providers, PROVIDER_DOMAIN, domain);
    if (rule == NULL)
        rule = provider_rules_wildcard(tally->providers, PROVIDER_DOMAIN, domain);
    return rule != NULL ? rule->category : PROVIDER_DEFAULT;
}

static size_t tpsp_of(const struct page_tally *tally, const struct event *event)
{
    size_t tpsp = 0;

    while (tpsp < tally->config->tpsp_count && strcmp(tally->config->tpsps[tpsp].name, event->tpsp) != 0)
        tpsp++;
    return tpsp;
}

/* Of what was said, without addresses and numbers: the same trouble has the same (FNV-1a). */
static uint64_t reason_key(const struct event *event)
{
    AUTO_FREE char *text = redact_text(event->smtp_description, strlen(event->smtp_description));
    uint64_t key = 14695981039346656037u ^ (uint64_t)event->cs ^ (uint64_t)event->smtp_code << 8;

    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)(isdigit((unsigned char)*at) ? '0' : *at);
        if (byte != '0' || at == text || !isdigit((unsigned char)at[-1]))
            key = (key ^ byte) * 1099511628211u;
    }
    return key | 1;
}

static uint32_t reason_count(const struct page_reason *reason)
{
    uint32_t count = 0;

    for (size_t i = 0; i < PAGE_HOURS; i++)
        count += reason->by_hour[i];
    return count;
}

/* The one with that key; else the rarest gives way. */
static struct page_reason *reason_for(struct page_tally *tally, uint64_t key)
{
    struct page_reason *rarest = &tally->reasons[0];

    for (size_t i = 0; i < PAGE_REASONS; i++) {
        struct page_reason *reason = &tally->reasons[i];
        if (reason->key == key)
            return reason;
        if (reason_count(reason) < reason_count(rarest))
            rarest = reason;
    }
    memset(rarest, 0, sizeof *rarest);
    rarest->key = key;
    return rarest;
}

static void count_event(struct page_tally *tally, const struct event *event)
{
    int64_t hour = event->timestamp_ms / PAGE_HOUR_MS;
    enum page_fate fate = fate_of(event->cs);
    size_t place = (size_t)(hour % PAGE_HOURS);

    if (hour > tally->hour || hour <= tally->hour - PAGE_HOURS)
        return;
    tally->by_provider[place][provider_of(tally, event)].of[fate]++;
    tally->by_tpsp[place][tpsp_of(tally, event)].of[fate]++;
    if (fate == PAGE_DELIVERED)
        return;
    struct page_reason *reason = reason_for(tally, reason_key(event));
    reason->by_hour[place]++;
    if (event->timestamp_ms >= reason->example.timestamp_ms)
        reason->example = *event;
}

/* --- rows ------------------------------------------------------------------------------------------- */

/* Returns how many were read, ROWS where there may be more; feed NULL: they are no news. */
static int take_rows(struct page_tally *tally, struct page_store *store, const char *sql, int64_t from,
                     struct page_feed *feed)
{
    sqlite3_stmt *row = page_store_ask(store, sql);
    struct event event;
    int count = 0, result;

    if (row == NULL)
        return ROWS;
    sqlite3_bind_int64(row, 1, from);
    sqlite3_bind_int(row, 2, ROWS);
    while ((result = sqlite3_step(row)) == SQLITE_ROW) {
        event_row_read(row, &event);
        count_event(tally, &event);
        count++;
        if (event.row > tally->newest)
            tally->newest = event.row;
        if (tally->oldest == 0 || event.row < tally->oldest) {
            tally->oldest = event.row;
            tally->oldest_ms = event.timestamp_ms;
        }
        if (feed != NULL)
            page_feed_add(feed, &event,
                          event_state_name((enum event_state)sqlite3_column_int(row, STATE_COLUMN)));
    }
    sqlite3_finalize(row);
    return result == SQLITE_DONE ? count : ROWS;
}

static int64_t newest_row(struct page_store *store)
{
    sqlite3_stmt *row = page_store_ask(store, "SELECT ifnull(max(id), 0) FROM events");
    int64_t newest = row != NULL && sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int64(row, 0) : -1;

    sqlite3_finalize(row);
    return newest;
}

bool page_tally_turn(struct page_tally *tally, struct page_store *store, int64_t now_ms,
                     struct page_feed *feed)
{
    int64_t newest = newest_row(store);

    move_to(tally, now_ms / PAGE_HOUR_MS);
    if (newest < 0)
        return false;
    if (newest < tally->newest) /* another store */
        begin_again(tally);
    int forward =
        tally->newest == 0 && !tally->complete
            ? 0
            : take_rows(tally, store, "SELECT " COLUMNS " FROM events WHERE id > ? ORDER BY id LIMIT ?",
                        tally->newest, feed);
    if (tally->complete)
        return forward == ROWS;
    int backward =
        take_rows(tally, store, "SELECT " COLUMNS " FROM events WHERE id < ? ORDER BY id DESC LIMIT ?",
                  tally->oldest > 0 ? tally->oldest : INT64_MAX, NULL);
    /* rows are in order of arrival, which differs from that of time stamps by less than an hour, as a rule */
    tally->complete = backward < ROWS || tally->oldest_ms / PAGE_HOUR_MS < tally->hour - PAGE_HOURS;
    return forward == ROWS || !tally->complete;
}

/* --- what it comes to ------------------------------------------------------------------------------- */

int64_t page_tally_since(const struct page_tally *tally, bool *complete_r, int64_t *counted_since_r)
{
    *complete_r = tally->complete;
    *counted_since_r = tally->oldest_ms;
    return (tally->hour - PAGE_HOURS + 1) * PAGE_HOUR_MS;
}

static void add(struct page_counts *sum, const struct page_counts *counts)
{
    for (int fate = 0; fate < PAGE_FATES; fate++)
        sum->of[fate] += counts->of[fate];
}

static struct page_counts of_place(const struct page_tally *tally, size_t place, int provider, int tpsp)
{
    struct page_counts sum = {{0}};

    if (tpsp >= 0)
        return tally->by_tpsp[place][tpsp];
    if (provider >= 0)
        return tally->by_provider[place][provider];
    for (int i = 0; i < PROVIDER_COUNT; i++)
        add(&sum, &tally->by_provider[place][i]);
    return sum;
}

struct page_counts page_tally_of(const struct page_tally *tally, size_t hour, int provider, int tpsp)
{
    struct page_counts sum = {{0}};

    if (hour < PAGE_HOURS)
        return of_place(tally, (size_t)(tally->hour + 1 + (int64_t)hour) % PAGE_HOURS, provider, tpsp);
    for (size_t place = 0; place < PAGE_HOURS; place++) {
        struct page_counts counts = of_place(tally, place, provider, tpsp);
        add(&sum, &counts);
    }
    return sum;
}

size_t page_tally_reasons(const struct page_tally *tally, const struct page_reason *reasons_r[],
                          uint32_t counts_r[], size_t limit)
{
    size_t found = 0;

    for (size_t i = 0; i < PAGE_REASONS; i++) {
        uint32_t count = reason_count(&tally->reasons[i]);
        size_t place = found;
        while (place > 0 && counts_r[place - 1] < count)
            place--;
        if (count == 0 || place == limit)
            continue;
        found += found < limit;
        for (size_t j = found - 1; j > place; j--) {
            reasons_r[j] = reasons_r[j - 1];
            counts_r[j] = counts_r[j - 1];
        }
        reasons_r[place] = &tally->reasons[i];
        counts_r[place] = count;
    }
    return found;
}
