/* sendpostctl events: the history of what was reported, and `events flush`, which reports what is pending
 * now. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/events.h"
#include "ctl/people.h"
#include "delivery/recover.h"
#include "event/event_gzip.h"
#include "event/event_report.h"

#define LISTED 50   /* unless more are asked for */
#define FOLLOWED 10 /* of what came before */
#define FLUSH_TIME_MS (3600 * 1000LL)

/* --- the history ---------------------------------------------------------------------------------- */

struct ctl_table *events_table(void)
{
    static const char *const headers[] = {"TIME",     "STATE",     "EVENT", "MESSAGE",
                                          "QUEUE ID", "RECIPIENT", "TPSP",  "REPLY"};

    return ctl_table_new(sizeof headers / sizeof *headers, headers);
}

void events_table_row(struct ctl_table *table, const struct event *event, enum event_state state,
                      bool for_people)
{
    char timestamp[CLOCK_RFC3339_SIZE], uuid[UUID_SIZE];
    AUTO_FREE char *reply = event->smtp_code > 0
                                ? xasprintf("%d %s", event->smtp_code, event->smtp_description)
                                : xstrdup(event->smtp_description);

    ctl_table_row(table,
                  (const char *[]){for_people ? people_time(event->timestamp_ms, timestamp)
                                              : clock_rfc3339(event->timestamp_ms, timestamp),
                                   event_state_name(state), event_type(event),
                                   for_people ? people_uuid(event->message_id, uuid) : event->message_id,
                                   event->queue_id, event->recipient, event->tpsp, reply});
}

void events_print_json(const struct event *event, enum event_state state)
{
    struct json_object *object = event_to_json(event, event_state_name(state));

    ctl_json_begins();
    fputs(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
          stdout);
    json_object_put(object);
}

struct listing {
    struct ctl_table *table; /* NULL: JSON, printed as it comes */
    bool for_people;
    size_t count;
    struct ctl_json_rows rows;
};

static bool list_one(void *context, const struct event *event, enum event_state state)
{
    struct listing *listing = context;

    if (listing->table != NULL)
        events_table_row(listing->table, event, state, listing->for_people);
    else
        ctl_json_row(&listing->rows, event_to_json(event, event_state_name(state)));
    listing->count++;
    return ferror(stdout) == 0;
}

bool events_each_last(struct store *store, const struct event_filter *filter, size_t limit,
                      bool (*see)(void *context, const struct event *event, enum event_state state),
                      void *context, struct outcome *error_r)
{
    return limit == 0 ? event_store_each(store, filter, see, context, error_r)
                      : event_store_last(store, filter, limit, see, context, error_r);
}

static enum ctl_status list(struct ctl *ctl, const struct event_filter *filter, size_t limit)
{
    struct store *store = ctl_store(ctl);
    struct listing listing = {.for_people = people_look() && !ctl->verbose, .rows.stream = stdout};
    struct outcome error;

    if (store == NULL)
        return CTL_TROUBLE;
    if (!ctl->json)
        listing.table = events_table();
    bool ok = events_each_last(store, filter, limit, list_one, &listing, &error);
    if (ok && limit > 0 && listing.count == limit)
        fprintf(stderr, "the last %zu; --limit says how many, 0 for all\n", limit);
    if (!ctl->json && ctl->verbose)
        ctl_table_whole(listing.table);
    if (!ctl->json)
        ctl_table_print(listing.table);
    if (!ok)
        ctl_fail(ctl, "%s", error.text);
    if (ctl->json)
        ctl_json_rows_end(&listing.rows, ok);
    return ok ? CTL_OK : CTL_TROUBLE;
}

/* --- flush ------------------------------------------------------------------------------------------ */

static void print_counts(const struct ctl *ctl, const struct event_report_counts *counts, int64_t pending,
                         const char *why)
{
    if (!ctl->json) {
        printf("%" PRIu64 " reported, %" PRIu64 " rejected, %" PRId64 " pending\n", counts->reported,
               counts->rejected, pending);
        return;
    }
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "reported", json_object_new_int64((int64_t)counts->reported));
    json_object_object_add(object, "rejected", json_object_new_int64((int64_t)counts->rejected));
    json_object_object_add(object, "pending", json_object_new_int64(pending));
    json_add_text(object, "error", why);
    ctl_print_json(object);
}

static enum ctl_status flush(struct ctl *ctl)
{
    struct store *store = ctl_store(ctl);
    struct event_report_counts counts = {0};
    struct outcome error;
    int64_t pending = 0;

    if (store == NULL)
        return CTL_TROUBLE;
    recover_left(ctl->config, store);
    struct event_reporter *reporter = event_reporter_open(
        ctl->config, store,
        &(struct event_reporter_options){.trace = ctl->verbose ? stderr : NULL, .compress = event_gzip});
    enum event_report_result result =
        event_report_pending(reporter, true, clock_monotonic_ms() + FLUSH_TIME_MS, &counts, &error);
    AUTO_FREE char *why = xstrdup(event_reporter_last_error(reporter));
    event_reporter_close(reporter);
    if (result == EVENT_REPORT_TROUBLE || !event_store_count(store, EVENT_PENDING, &pending, &error))
        return ctl_fail(ctl, "%s", error.text);
    print_counts(ctl, &counts, pending, why);
    if (pending == 0)
        return CTL_OK;
    return ctl_fail(ctl, "%" PRId64 " events stay pending: %s", pending,
                    *why != '\0' ? why
                                 : "another process is reporting them, or they came just now; try again");
}

/* --- retry ------------------------------------------------------------------------------------------ */

/* message_id: NULL for all. */
static enum ctl_status retry(struct ctl *ctl, const char *message_id)
{
    struct store *store = ctl_store(ctl);
    struct outcome error;

    if (store == NULL)
        return CTL_TROUBLE;
    int64_t count = event_store_retry_rejected(store, message_id, clock_realtime_ms(), &error);
    if (count < 0)
        return ctl_fail(ctl, "%s", error.text);
    if (ctl->json) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "retried", json_object_new_int64(count));
        ctl_print_json(object);
    }
    if (count == 0 && message_id != NULL)
        return ctl_fail(ctl,
                        "no event of message %s was rejected; \"sendpostctl events --state rejected\" lists "
                        "those that were",
                        message_id);
    if (!ctl->json)
        printf("%" PRId64 " rejected events are pending again; the agent, or \"sendpostctl events flush\", "
               "reports them\n",
               count);
    return CTL_OK;
}

/* A message UUID in our own form into copy_r, or the words why it is none. */
static enum ctl_status take_uuid(const struct ctl *ctl, const char *text, char copy_r[UUID_SIZE])
{
    if (!uuid_valid(text, strlen(text)))
        return ctl_usage(ctl, "\"%s\" is no message UUID: it is the uuid= of the log lines", text);
    uuid_copy(copy_r, text);
    return CTL_OK;
}

static enum ctl_status run_retry(struct ctl *ctl)
{
    bool all = ctl_option(ctl, "all") != NULL;
    char message_id[UUID_SIZE];

    if (ctl->operand_count > 2 || (ctl->operand_count == 2) == all)
        return ctl_usage(ctl, "retry takes one message UUID, or --all");
    if (all)
        return retry(ctl, NULL);
    enum ctl_status status = take_uuid(ctl, ctl->operands[1], message_id);
    return status == CTL_OK ? retry(ctl, message_id) : status;
}

/* ------------------------------------------------------------------------------------------------------ */

static const struct ctl_option options[] = {
    {"state", 's', "STATE", "pending, reported, rejected or local"},
    {"since", 0, "DURATION", "what happened in the last 90s, 5m, 1h, 7d"},
    {"message-id", 'm', "UUID", "of one message"},
    {"recipient", 'r', "ADDRESS", "of one recipient"},
    {"limit", 'n', "N", "the last N; 0: all of them (50, or all since that time or of that message)"},
    {"follow", 'f', NULL, "the last 10, or as --limit says, and others as they come"},
    {"all", 0, NULL, "retry: every rejected event"},
    {.name = NULL},
};

static enum ctl_status run(struct ctl *ctl)
{
    struct event_filter filter = {.message_id = ctl_option(ctl, "message-id"),
                                  .recipient = ctl_option(ctl, "recipient")};
    const char *state = ctl_option(ctl, "state"), *since = ctl_option(ctl, "since");
    bool follows = ctl_option(ctl, "follow") != NULL;
    bool filtered =
        follows || state != NULL || since != NULL || filter.message_id != NULL || filter.recipient != NULL;
    const char *number = ctl_option(ctl, "limit");
    size_t limit = since != NULL || filter.message_id != NULL ? 0 : follows ? FOLLOWED : LISTED;
    char message_id[UUID_SIZE];

    filtered = filtered || number != NULL;
    if (ctl->operand_count == 1 && strcmp(ctl->operands[0], "flush") == 0)
        return filtered ? ctl_usage(ctl, "flush reports every pending event and takes no filter")
                        : flush(ctl);
    if (ctl->operand_count > 0 && strcmp(ctl->operands[0], "retry") == 0)
        return filtered ? ctl_usage(ctl, "retry takes no filter") : run_retry(ctl);
    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "\"%s\" is not known here: say flush, retry or nothing", ctl->operands[0]);
    if (ctl_option(ctl, "all") != NULL)
        return ctl_usage(ctl, "--all goes with retry");
    if (follows && state != NULL)
        return ctl_usage(ctl, "-f shows events when they come; what is in a state is listed without it");
    filter.by_state = state != NULL;
    if (state != NULL && !event_state_by_name(state, &filter.state))
        return ctl_usage(ctl, "there is no state \"%s\": pending, reported, rejected, local", state);
    if (since != NULL) {
        int64_t ago_ms = people_duration_ms(since);
        if (ago_ms < 0)
            return ctl_usage(ctl, "\"%s\" is no duration: write it like 90s, 5m, 1h or 7d", since);
        filter.since_ms = clock_realtime_ms() - ago_ms;
    }
    if (filter.message_id != NULL) {
        if (take_uuid(ctl, filter.message_id, message_id) != CTL_OK)
            return CTL_USAGE;
        filter.message_id = message_id;
    }
    if (number != NULL && !people_number(number, 0, 10000000, &limit))
        return ctl_usage(ctl, "--limit \"%s\" is no number", number);
    return follows ? events_follow(ctl, &filter, limit) : list(ctl, &filter, limit);
}

const struct ctl_command ctl_events = {
    .name = "events",
    .synopsis = "[flush | retry UUID | retry --all] [--state STATE] [--since DURATION] [--message-id UUID] "
                "[--recipient ADDRESS] [--limit N] [-f]",
    .summary = "Show what became of messages, or report what is still pending",
    .examples = "  sendpostctl events --since 1h --recipient user@example.com\n"
                "  sendpostctl events --state rejected --json\n"
                "  sendpostctl events -f --json | jq -c 'select(.event_type == \"dropped\")'\n"
                "  sendpostctl events flush -v\n"
                "  sendpostctl events retry --all\n",
    .options = options,
    .run = run,
};
