/*
 * event_probe: events into the store and out of it, as the programs do it; prints a JSON line for each event
 * that it reported by itself. The integration tests and the bench drive it.
 *
 *     event_probe CONFIG add  KIND TPSP FIRST COUNT [AGE-MS]    pending rows, due at once
 *     event_probe CONFIG one  KIND TPSP FIRST COUNT [DEADLINE-MS [trace]]    stored, then reported one by one
 *     event_probe CONFIG pending [DEADLINE-MS]     what the agent does at each flush
 *
 * KIND: 59 to 64. Event number n is the same in every run.
 */
#include <err.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "event/event_report.h"

static struct config *config;
static struct store *store;
static struct outcome error;

static struct event make_event(int kind, const char *tpsp, int number, int64_t timestamp_ms)
{
    struct event event = {
        .cs = (enum event_cs)kind, .source = EVENT_SOURCE_PIPE, .timestamp_ms = timestamp_ms, .attempt = 1};

    snprintf(event.message_id, sizeof event.message_id, "00000000-0000-5000-8000-%012d", number);
    snprintf(event.recipient, sizeof event.recipient, "user%d@example.com", number);
    snprintf(event.sender, sizeof event.sender, "sender@example.org");
    snprintf(event.queue_id, sizeof event.queue_id, "Q%d", number);
    snprintf(event.tpsp, sizeof event.tpsp, "%s", tpsp);
    event.tpsp_id = 12;
    event.smtp_code = 250;
    snprintf(event.smtp_enhanced_code, sizeof event.smtp_enhanced_code, "2.0.0");
    event_describe(&event, "2.0.0 Ok: queued as 4bXyz1234", 29);
    snprintf(event.provider, sizeof event.provider, "default");
    event_identify(&event, "");
    return event;
}

static void print_result(enum event_report_result result, struct event_reporter *reporter, int64_t ms)
{
    static const char *const names[] = {"done", "kept", "left", "trouble"};
    json_object *line = json_object_new_object();

    json_object_object_add(line, "result", json_object_new_string(names[result]));
    json_object_object_add(line, "last_error", json_object_new_string(event_reporter_last_error(reporter)));
    json_object_object_add(line, "error",
                           json_object_new_string(result == EVENT_REPORT_TROUBLE ? error.text : ""));
    json_object_object_add(line, "ms", json_object_new_int64(ms));
    printf("%s\n", json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
    fflush(stdout);
    json_object_put(line);
}

static void add(const struct event *event, int64_t due_ms)
{
    enum event_state state = event_report_state(config, event);

    if (!store_begin(store, STORE_NORMAL, &error) || !event_store_add(store, event, state, due_ms, &error) ||
        !store_commit(store, &error))
        errx(75, "%s", error.text);
}

static void report_one_by_one(int kind, const char *tpsp, int first, int count, int64_t time_ms, bool trace)
{
    struct event_reporter *reporter =
        event_reporter_open(config, store, &(struct event_reporter_options){.trace = trace ? stderr : NULL});

    for (int i = first; i < first + count; i++) {
        struct event event = make_event(kind, tpsp, i, clock_realtime_ms());
        int64_t start = clock_monotonic_ms();
        add(&event, clock_realtime_ms() + config->report.timeout_ms + 1000);
        enum event_report_result result = event_report_one(reporter, &event, start + time_ms, &error);
        print_result(result, reporter, clock_monotonic_ms() - start);
        event_reporter_rest(reporter);
    }
    event_reporter_close(reporter);
}

static void report_pending(int64_t time_ms)
{
    struct event_reporter *reporter =
        event_reporter_open(config, store, &(struct event_reporter_options){.trace = NULL});
    struct event_report_counts counts = {0};
    int64_t start = clock_monotonic_ms();

    enum event_report_result result = event_report_pending(reporter, false, start + time_ms, &counts, &error);
    print_result(result, reporter, clock_monotonic_ms() - start);
    event_reporter_close(reporter);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(64, "usage: event_probe CONFIG add|one|pending …");
    log_open("probe", false);
    if ((config = config_load(argv[1], &error)) == NULL || !store_open(&store, config->state_dir, &error))
        errx(75, "%s", error.text);
    int kind = argc > 3 ? atoi(argv[3]) : 0, first = argc > 5 ? atoi(argv[5]) : 0,
        count = argc > 6 ? atoi(argv[6]) : 0;
    if (strcmp(argv[2], "add") == 0 && argc > 6) {
        int64_t age_ms = argc > 7 ? atoll(argv[7]) : 0;
        for (int i = first; i < first + count; i++) {
            struct event event = make_event(kind, argv[4], i, clock_realtime_ms() - age_ms);
            add(&event, 0);
        }
    } else if (strcmp(argv[2], "one") == 0 && argc > 6) {
        report_one_by_one(kind, argv[4], first, count, argc > 7 ? atoll(argv[7]) : 60000, argc > 8);
    } else if (strcmp(argv[2], "pending") == 0) {
        report_pending(argc > 3 ? atoll(argv[3]) : 60000);
    } else {
        errx(64, "usage: event_probe CONFIG add|one|pending …");
    }
    store_close(store);
    config_free(config);
    return 0;
}
