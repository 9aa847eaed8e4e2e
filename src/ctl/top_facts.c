#include "ctl/top_facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/gate.h"
#include "event/event_store.h"
#include "policy/breaker.h"
#include "policy/slow_down.h"
#include "policy/suspension.h"

#define DAY_MS INT64_C(86400000)
#define RECENT_MS INT64_C(300000)
#define TURN_MS 1000 /* of the store */
#define WINDOW_MS 60000
#define CAUSES (CAUSE_IN_DOUBT + 1)

/* What the counters were at a time. */
struct sample {
    int64_t at_ms; /* clock_monotonic_ms(); 0: none yet */
    struct top_lines providers, reasons;
};

struct top_watch {
    const struct config *config;
    struct top_facts facts;
    struct sample base, next; /* next takes the place of base when that is too old */
};

/* --- counters ----------------------------------------------------------------------------------------- */

static void lines_free(struct top_lines *lines)
{
    free(lines->lines);
    *lines = (struct top_lines){0};
}

static struct top_line *add_line(struct top_lines *lines)
{
    lines->lines = xrealloc(lines->lines, (lines->count + 1) * sizeof *lines->lines);
    lines->lines[lines->count] = (struct top_line){0};
    return &lines->lines[lines->count++];
}

static void count_outcomes(struct top_line *line, const struct counters_series *series)
{
    line->counts[TOP_DELIVERED] = atomic_load(&series->values[0]);
    for (unsigned cause = 0; cause < CAUSES; cause++) {
        unsigned deferred = counters_outcome_place(OUTCOME_DEFERRED, (enum outcome_cause)cause);
        unsigned dropped = counters_outcome_place(OUTCOME_DROPPED, (enum outcome_cause)cause);
        line->counts[cause == CAUSE_RATE ? TOP_OVER_RATE : TOP_DEFERRED] +=
            atomic_load(&series->values[deferred]);
        line->counts[TOP_DROPPED] += atomic_load(&series->values[dropped]);
    }
}

static void note_series(void *context, const struct counters_series *series)
{
    struct top_facts *facts = context;
    const char *tpsp = *series->tpsp != '\0' ? series->tpsp : "-";

    if (series->kind == COUNTERS_OUTCOMES) {
        struct top_line *line = add_line(&facts->providers);
        line->key = atomic_load(&series->hash);
        snprintf(line->name, sizeof line->name, "%s/%s", tpsp, *series->name != '\0' ? series->name : "-");
        count_outcomes(line, series);
    } else if (series->kind == COUNTERS_DEFERRALS) {
        bool by_rate = strcmp(series->name, counters_cause_name(CAUSE_RATE)) == 0;
        struct top_line *line = add_line(&facts->reasons);
        line->key = atomic_load(&series->hash);
        snprintf(line->name, sizeof line->name, "%s: %s%s%.60s%s", tpsp,
                 by_rate ? "over a rate, or suspended" : series->name, *series->detail != '\0' ? " (" : "",
                 series->detail, *series->detail != '\0' ? ")" : "");
        line->counts[0] = atomic_load(&series->values[0]);
    }
}

static const struct top_line *line_of(const struct top_lines *lines, uint64_t key)
{
    for (size_t i = 0; i < lines->count; i++)
        if (lines->lines[i].key == key)
            return &lines->lines[i];
    return NULL;
}

static void add_rates(struct top_lines *lines, const struct top_lines *before, int64_t elapsed_ms)
{
    for (size_t i = 0; i < lines->count; i++) {
        struct top_line *line = &lines->lines[i];
        const struct top_line *was = line_of(before, line->key);
        for (size_t k = 0; k < TOP_OUTCOMES; k++) {
            uint64_t count = was != NULL ? was->counts[k] : 0;
            if (line->counts[k] > count) /* else nothing came, or the file began anew */
                line->per_minute[k] = (double)(line->counts[k] - count) * 60000 / (double)elapsed_ms;
        }
    }
}

/* What is busiest now comes first, then what was most frequent. */
static int compare(const void *one, const void *other)
{
    const struct top_line *a = one, *b = other;
    double rates[2] = {0};
    uint64_t counts[2] = {0};

    for (size_t k = 0; k < TOP_OUTCOMES; k++) {
        rates[0] += a->per_minute[k];
        rates[1] += b->per_minute[k];
        counts[0] += a->counts[k];
        counts[1] += b->counts[k];
    }
    if (rates[0] < rates[1] || rates[0] > rates[1])
        return rates[0] < rates[1] ? 1 : -1;
    if (counts[0] != counts[1])
        return counts[0] < counts[1] ? 1 : -1;
    return strcmp(a->name, b->name);
}

static struct top_lines copy(const struct top_lines *lines)
{
    struct top_lines copied = {.count = lines->count,
                               .lines = xcalloc(lines->count + 1, sizeof *lines->lines)};

    if (lines->count > 0)
        memcpy(copied.lines, lines->lines, lines->count * sizeof *lines->lines);
    return copied;
}

static void sample_free(struct sample *sample)
{
    lines_free(&sample->providers);
    lines_free(&sample->reasons);
}

static void take_sample(struct sample *sample, const struct top_facts *facts, int64_t now_ms)
{
    sample_free(sample);
    *sample = (struct sample){
        .at_ms = now_ms, .providers = copy(&facts->providers), .reasons = copy(&facts->reasons)};
}

static void read_counters(struct top_watch *watch)
{
    struct counters *counters = counters_open(watch->config->state_dir);
    struct top_facts *facts = &watch->facts;
    int64_t now_ms = clock_monotonic_ms();

    lines_free(&facts->providers);
    lines_free(&facts->reasons);
    facts->counted = counters != NULL;
    counters_each(counters, note_series, facts);
    counters_close(counters);
    if (watch->base.at_ms > 0 && now_ms - watch->base.at_ms > WINDOW_MS && watch->next.at_ms > 0) {
        sample_free(&watch->base);
        watch->base = watch->next;
        watch->next = (struct sample){0};
    }
    facts->rates_known = watch->base.at_ms > 0 && now_ms > watch->base.at_ms;
    if (facts->rates_known) {
        add_rates(&facts->providers, &watch->base.providers, now_ms - watch->base.at_ms);
        add_rates(&facts->reasons, &watch->base.reasons, now_ms - watch->base.at_ms);
    }
    if (watch->base.at_ms == 0)
        take_sample(&watch->base, facts, now_ms);
    else if (watch->next.at_ms == 0 && now_ms - watch->base.at_ms > WINDOW_MS / 2)
        take_sample(&watch->next, facts, now_ms);
    if (facts->providers.count > 0)
        qsort(facts->providers.lines, facts->providers.count, sizeof *facts->providers.lines, compare);
    if (facts->reasons.count > 0)
        qsort(facts->reasons.lines, facts->reasons.count, sizeof *facts->reasons.lines, compare);
}

/* --- the store ---------------------------------------------------------------------------------------- */

static void note_tally(void *context, const char *tpsp, enum event_cs cs, uint64_t count, uint64_t recent)
{
    struct top_facts *facts = context;

    for (size_t i = 0; i < facts->tpsp_count; i++) {
        struct top_tpsp *one = &facts->tpsps[i];
        if (strcmp(one->name, tpsp) != 0)
            continue;
        bool delivered = cs == CS_SENT || cs == CS_DELIVERED;
        one->day[delivered ? TOP_DELIVERED : cs == CS_DEFERRED ? TOP_DEFERRED : TOP_DROPPED] += count;
        if (delivered)
            one->per_minute += (double)recent * 60000 / (double)RECENT_MS;
    }
}

static bool read_ladder(struct top_facts *facts, struct store *store, struct outcome *error_r)
{
    sqlite3_stmt *select = store_statement(store,
                                           "SELECT count(*), ifnull(sum(held), 0),"
                                           " ifnull(min(CASE WHEN held = 0 THEN due_ms END), 0)"
                                           " FROM deliveries",
                                           error_r);

    if (select == NULL || store_step(store, select, error_r) != 1)
        return false;
    facts->held = sqlite3_column_int64(select, 1);
    facts->waiting = sqlite3_column_int64(select, 0) - facts->held;
    facts->next_ms = sqlite3_column_int64(select, 2);
    sqlite3_reset(select);
    return true;
}

static void read_store(struct top_watch *watch)
{
    struct top_facts *facts = &watch->facts;
    struct outcome ignored;
    struct store *store;

    facts->store_known = false;
    if (!store_open_to_read(&store, watch->config->state_dir, clock_monotonic_ms() + TURN_MS, &ignored))
        return;
    for (size_t i = 0; i < facts->tpsp_count; i++) {
        memset(facts->tpsps[i].day, 0, sizeof facts->tpsps[i].day);
        facts->tpsps[i].per_minute = 0;
    }
    facts->store_known = event_store_tally(store, facts->now_ms - DAY_MS, facts->now_ms - RECENT_MS,
                                           note_tally, facts, &ignored) &&
                         read_ladder(facts, store, &ignored) &&
                         event_store_count(store, EVENT_PENDING, &facts->pending, &ignored) &&
                         event_store_count(store, EVENT_REJECTED, &facts->rejected, &ignored);
    store_close(store);
}

/* --- TPSPs -------------------------------------------------------------------------------------------- */

static int64_t seconds_until(struct rate_table *table, int64_t time_ns)
{
    int64_t left = time_ns - rate_table_now(table);

    return left <= 0 ? 0 : (left + 999999999) / 1000000000;
}

/* The limits for all providers, of all hosts. A server that is away is told of elsewhere. */
static bool is_over_rate(const struct admission_gate *gate, const struct config_tpsp *tpsp, int64_t *next_r)
{
    struct outcome ignored;
    struct rate_set set;

    if (!rate_set_init(&set, tpsp, PROVIDER_DEFAULT, gate->config->rate_burst, &ignored))
        return false;
    for (size_t i = 0; i < set.count; i++)
        if (set.limits[i].provider == NULL && admission_peek(gate, &set, i, next_r) == 0)
            return *next_r != ADMISSION_NEVER;
    return false;
}

static void read_tpsp(const struct admission_gate *gate, const struct config_tpsp *tpsp, struct top_tpsp *one)
{
    struct rate_table *table = gate->table;
    const struct suspension_scope scope = {.tpsp = tpsp->name};
    const struct slow_down slow_down = {
        .config = gate->config, .table = table, .tpsp = tpsp, .provider = PROVIDER_DEFAULT};
    struct breaker breaker = breaker_look(table, tpsp->name);
    struct suspension suspension;
    struct slow_down_view view;
    int64_t next_ns = 0;

    bool slowed = slow_down_look(&slow_down, false, &view);
    one->trouble = true;
    if (suspension_look(table, &scope, clock_realtime_ms(), &suspension))
        snprintf(one->state, sizeof one->state, "suspended");
    else if (breaker.state == BREAKER_OPEN && breaker.of_all)
        snprintf(one->state, sizeof one->state, "left alone by all");
    else if (breaker.state == BREAKER_OPEN)
        snprintf(one->state, sizeof one->state, "left alone, %" PRId64 " s",
                 seconds_until(table, breaker.until_ns));
    else if (breaker.state == BREAKER_TRY)
        snprintf(one->state, sizeof one->state, "to be tried");
    else if (slowed && view.paused)
        snprintf(one->state, sizeof one->state, "paused, %" PRId64 " s", seconds_until(table, view.until_ns));
    else if (slowed && view.slowed)
        snprintf(one->state, sizeof one->state, "slowed to %.0f%%", view.factor * 100);
    else if (is_over_rate(gate, tpsp, &next_ns))
        snprintf(one->state, sizeof one->state, "slot in %" PRId64 " s", seconds_until(table, next_ns));
    else {
        snprintf(one->state, sizeof one->state, "in use");
        one->trouble = false;
    }
}

static void read_table(struct top_watch *watch)
{
    const struct config *config = watch->config;
    struct outcome ignored;
    struct ctl_gate gate;

    bool ok = ctl_gate_open(&gate, config, &ignored);
    for (size_t i = 0; i < config->tpsp_count; i++) {
        struct top_tpsp *one = &watch->facts.tpsps[i];
        snprintf(one->state, sizeof one->state, "not known");
        if (ok)
            read_tpsp(&gate.gate, &config->tpsps[i], one);
    }
    if (ok)
        ctl_gate_close(&gate);
}

/* ------------------------------------------------------------------------------------------------------ */

struct top_watch *top_watch_new(const struct config *config)
{
    struct top_watch *watch = xcalloc(1, sizeof *watch);

    watch->config = config;
    watch->facts.tpsp_count = config->tpsp_count;
    watch->facts.tpsps = xcalloc(config->tpsp_count + 1, sizeof *watch->facts.tpsps);
    for (size_t i = 0; i < config->tpsp_count; i++)
        watch->facts.tpsps[i].name = config->tpsps[i].name;
    return watch;
}

void top_watch_free(struct top_watch *watch)
{
    if (watch == NULL)
        return;
    lines_free(&watch->facts.providers);
    lines_free(&watch->facts.reasons);
    sample_free(&watch->base);
    sample_free(&watch->next);
    free(watch->facts.tpsps);
    free(watch);
}

void top_watch_cluster(struct top_watch *watch, const char *words, bool ok)
{
    watch->facts.cluster_ok = ok;
    snprintf(watch->facts.cluster, sizeof watch->facts.cluster, "%s",
             words != NULL ? words : "not known: the agent, which looks after it, does not answer");
}

void top_watch_queue(struct top_watch *watch, const char *text, bool whole)
{
    struct top_facts *facts = &watch->facts;
    int64_t until_ms = clock_monotonic_ms() + TURN_MS;
    struct outcome ignored;
    struct store *store;

    facts->queue_known = text != NULL;
    if (text == NULL)
        return;
    bool ok = store_open_to_read(&store, watch->config->state_dir, until_ms, &ignored) &&
              backlog_read(&facts->queue, store, text, whole, until_ms, &ignored);
    store_close(store);
    if (!ok)
        backlog_read(&facts->queue, NULL, text, whole, until_ms, &ignored);
}

const struct top_facts *top_watch_look(struct top_watch *watch)
{
    watch->facts.now_ms = clock_realtime_ms();
    read_store(watch);
    read_counters(watch);
    read_table(watch);
    return &watch->facts;
}
