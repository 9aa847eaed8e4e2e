#include "agent/metrics_deliveries.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "policy/counters.h"

#define PREFIX "sendpost_agent_"

void metrics_label(FILE *out, const char *value)
{
    for (; *value != '\0'; value++)
        if (*value == '\n')
            fputs("\\n", out);
        else
            fprintf(out, "%s%c", *value == '\\' || *value == '"' ? "\\" : "", *value);
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

/* {tpsp="…",NAME="…" and no end */
static void labels(FILE *out, const char *metric, const struct counters_series *series, const char *name)
{
    fprintf(out, PREFIX "%s{tpsp=\"", metric);
    metrics_label(out, series->tpsp);
    fprintf(out, "\",%s=\"", name);
    metrics_label(out, series->name);
    fputc('"', out);
}

static uint64_t value_of(const struct counters_series *series, unsigned place)
{
    return atomic_load(&series->values[place]);
}

/* --- each kind -------------------------------------------------------------------------------------- */

static void write_outcomes(void *context, const struct counters_series *series)
{
    FILE *out = context;

    if (series->kind != COUNTERS_OUTCOMES)
        return;
    for (int class = OUTCOME_DELIVERED; class <= OUTCOME_DROPPED; class ++)
        for (int cause = CAUSE_NONE; cause <= CAUSE_IN_DOUBT; cause++) {
            unsigned place = counters_outcome_place((enum outcome_class) class, (enum outcome_cause)cause);
            if (value_of(series, place) == 0 || (class == OUTCOME_DELIVERED && cause != CAUSE_NONE))
                continue;
            labels(out, "outcomes_total", series, "provider");
            fprintf(out, ",outcome=\"%s\",cause=\"%s\"} %" PRIu64 "\n",
                    counters_class_name((enum outcome_class) class),
                    counters_cause_name((enum outcome_cause)cause), value_of(series, place));
        }
}

/* The end of a bucket's labels, and the count up to it. */
static void write_bucket(FILE *out, int64_t bound, double second, uint64_t total)
{
    if (bound == INT64_MAX)
        fprintf(out, "le=\"+Inf\"} %" PRIu64 "\n", total);
    else
        fprintf(out, "le=\"%g\"} %" PRIu64 "\n", (double)bound / second, total);
}

static void write_times(void *context, const struct counters_series *series)
{
    FILE *out = context;
    uint64_t total = 0;

    if (series->kind != COUNTERS_TIMES)
        return;
    for (unsigned i = 0; i < COUNTERS_BUCKETS; i++) {
        total += value_of(series, i);
        labels(out, "delivery_seconds_bucket", series, "provider");
        fputc(',', out);
        write_bucket(out, counters_bounds_ms[i], 1e3, total);
    }
    labels(out, "delivery_seconds_sum", series, "provider");
    fprintf(out, "} %.3f\n", (double)value_of(series, COUNTERS_BUCKETS) / 1000);
    labels(out, "delivery_seconds_count", series, "provider");
    fprintf(out, "} %" PRIu64 "\n", total);
}

static void write_waits(void *context, const struct counters_series *series)
{
    FILE *out = context;
    uint64_t total = 0;

    if (series->kind != COUNTERS_WAITS)
        return;
    for (unsigned i = 0; i < COUNTERS_WAIT_BUCKETS; i++) {
        total += value_of(series, i);
        fputs(PREFIX "store_wait_seconds_bucket{", out);
        write_bucket(out, counters_wait_bounds_us[i], 1e6, total);
    }
    fprintf(out, PREFIX "store_wait_seconds_sum %.6f\n" PREFIX "store_wait_seconds_count %" PRIu64 "\n",
            (double)value_of(series, COUNTERS_WAIT_BUCKETS) / 1e6, total);
}

static void write_deferrals(void *context, const struct counters_series *series)
{
    FILE *out = context;

    if (series->kind != COUNTERS_DEFERRALS)
        return;
    labels(out, "deferrals_total", series, "reason");
    fputs(",rule=\"", out);
    metrics_label(out, series->detail);
    fprintf(out, "\"} %" PRIu64 "\n", value_of(series, 0));
}

static void write_certificates(void *context, const struct counters_series *series)
{
    FILE *out = context;

    if (series->kind != COUNTERS_CERTIFICATE || value_of(series, 0) == 0)
        return;
    fputs(PREFIX "tpsp_certificate_expires_timestamp_seconds{tpsp=\"", out);
    metrics_label(out, series->tpsp);
    fprintf(out, "\"} %" PRIu64 "\n", value_of(series, 0) / 1000);
}

static void write_counters(FILE *out, const struct config *config)
{
    struct counters *counters = counters_open(config->state_dir);

    head(out, "outcomes_total", "counter",
         "Deliveries of the transport by what became of them, and whose trouble it was.");
    counters_each(counters, write_outcomes, out);
    head(out, "delivery_seconds", "histogram",
         "From Postfix's queue to the end, delivered or dropped, however many attempts it took.");
    counters_each(counters, write_times, out);
    head(out, "store_wait_seconds", "histogram",
         "How long a delivery waited for other processes at the store, all its transactions together.");
    counters_each(counters, write_waits, out);
    head(out, "deferrals_total", "counter", "Deferrals by reason, and the rule of the replies that told it.");
    counters_each(counters, write_deferrals, out);
    head(out, "tpsp_certificate_expires_timestamp_seconds", "gauge",
         "When the certificate that the TPSP showed last ends.");
    counters_each(counters, write_certificates, out);
    counters_close(counters);
}

static void write_queue(FILE *out, const struct page_queue *queue)
{
    bool known = queue != NULL && queue->known;

    head(out, "queue_known", "gauge", "Whether Postfix's queue can be asked (group postdrop).");
    fprintf(out, PREFIX "queue_known %d\n", known);
    if (!known)
        return;
    head(out, "queue_messages", "gauge", "Messages in Postfix's queue.");
    for (int i = 0; i < PAGE_QUEUES; i++)
        fprintf(out, PREFIX "queue_messages{queue=\"%s\"} %" PRIu64 "\n",
                page_queue_name_text((enum page_queue_name)i), queue->messages[i]);
    head(out, "queue_oldest_seconds", "gauge", "Age of the oldest message in it; 0: it is empty.");
    fprintf(out, PREFIX "queue_oldest_seconds %.0f\n",
            queue->oldest_ms > 0 ? (double)(clock_realtime_ms() - queue->oldest_ms) / 1000 : 0);
}

void metrics_deliveries(FILE *out, const struct config *config, const struct page_queue *queue)
{
    write_counters(out, config);
    write_queue(out, queue);
}
