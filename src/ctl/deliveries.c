/* sendpostctl deliveries: messages that failed or were held at least once and wait for their next attempt.
 * See policy/retry.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/deliveries_queue.h"
#include "ctl/postfix_tell.h"
#include "event/event.h"
#include "policy/retry.h"

/* Row of the table as the event that its last failure was. */
static void read_event(sqlite3_stmt *row, struct event *event_r)
{
    *event_r = (struct event){.cs = CS_DEFERRED,
                              .source = EVENT_SOURCE_PIPE,
                              .attempt = sqlite3_column_int(row, 5),
                              .timestamp_ms = sqlite3_column_int64(row, 8),
                              .smtp_code = sqlite3_column_int(row, 9)};
    const struct {
        int column;
        char *field;
        size_t size;
    } texts[] = {
        {0, event_r->queue_id, sizeof event_r->queue_id},
        {1, event_r->recipient, sizeof event_r->recipient},
        {2, event_r->message_id, sizeof event_r->message_id},
        {3, event_r->sender, sizeof event_r->sender},
        {4, event_r->tpsp, sizeof event_r->tpsp},
        {10, event_r->smtp_enhanced_code, sizeof event_r->smtp_enhanced_code},
    };
    char occurrence[CLOCK_RFC3339_SIZE];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        snprintf(texts[i].field, texts[i].size, "%s",
                 (const char *)sqlite3_column_text(row, texts[i].column));
    const char *text = (const char *)sqlite3_column_text(row, 11);
    event_describe(event_r, text, strlen(text));
    clock_rfc3339(event_r->timestamp_ms, occurrence);
    event_identify(event_r, occurrence);
}

static struct json_object *as_json(const struct event *event, const char *state, int64_t due_ms)
{
    struct json_object *object = event_to_json(event, state);

    json_add_time(object, "next_attempt", due_ms); /* null of one that is held: nobody knows */
    return object;
}

static enum ctl_status list(struct ctl *ctl)
{
    static const char *const headers[] = {"QUEUE ID",     "RECIPIENT", ">FAILED",
                                          "NEXT ATTEMPT", "TPSP",      "LAST REPLY"};
    struct store *store = ctl_store(ctl);
    struct ctl_table *table =
        ctl->json || store == NULL ? NULL : ctl_table_new(sizeof headers / sizeof *headers, headers);
    struct ctl_json_rows rows = {.stream = stdout};
    int64_t now_ms = clock_realtime_ms();
    struct outcome error;

    if (store != NULL)
        deliveries_forget_gone(store);
    sqlite3_stmt *row =
        store == NULL
            ? NULL
            : store_statement(store,
                              "SELECT queue_id, recipient, message_id, sender, tpsp, attempts, due_ms,"
                              " first_ms, last_ms, smtp_code, smtp_enhanced_code, smtp_description, held"
                              " FROM deliveries ORDER BY due_ms, queue_id, recipient",
                              &error);
    int step = -1;

    if (store == NULL)
        return CTL_TROUBLE;
    while (row != NULL && (step = store_step(store, row, &error)) > 0) {
        struct event event;
        int64_t due_ms = sqlite3_column_int64(row, 6);
        bool held = sqlite3_column_int(row, 12) != 0;
        char next[CLOCK_RFC3339_SIZE];
        read_event(row, &event);
        if (ctl->json) {
            ctl_json_row(&rows, as_json(&event,
                                        held               ? "held"
                                        : due_ms <= now_ms ? "due"
                                                           : "waiting",
                                        due_ms));
            continue;
        }
        AUTO_FREE char *reply = event.smtp_code > 0
                                    ? xasprintf("%d %s", event.smtp_code, event.smtp_description)
                                    : xstrdup(event.smtp_description);
        AUTO_FREE char *failed = xasprintf("%d of %zu", event.attempt, ctl->config->retry.schedule_count + 1);
        ctl_table_row(table, (const char *[]){event.queue_id, event.recipient, failed,
                                              held               ? "held"
                                              : due_ms <= now_ms ? "now"
                                                                 : clock_rfc3339(due_ms, next),
                                              event.tpsp, reply});
    }
    if (!ctl->json)
        ctl_table_print(table);
    if (step < 0)
        ctl_fail(ctl, "%s", error.text);
    if (ctl->json)
        ctl_json_rows_end(&rows, step == 0);
    return step == 0 ? CTL_OK : CTL_TROUBLE;
}

/* How many of the message's recipients became due. */
static enum ctl_status make_due(struct ctl *ctl, const char *queue_id, int *count_r)
{
    struct store *store = ctl_store(ctl);
    struct outcome error;

    *count_r = store == NULL ? -1 : retry_now(store, queue_id, &error);
    if (store == NULL)
        return CTL_TROUBLE;
    if (*count_r < 0)
        return ctl_fail(ctl, "%s", error.text);
    return *count_r > 0
               ? CTL_OK
               : ctl_fail(
                     ctl,
                     "no delivery with queue id %s waits; \"sendpostctl deliveries\" lists those that do",
                     queue_id);
}

static enum ctl_status retry(struct ctl *ctl, const char *queue_id)
{
    struct postfix_tell tell;
    int count = 0;

    if (!postfix_tell_begin(&tell))
        return ctl_fail(ctl, "cannot start a process: %s", strerror(errno));
    enum ctl_status status = make_due(ctl, queue_id, &count);
    if (status == CTL_OK)
        postfix_tell_one(&tell, queue_id);
    bool told = postfix_tell_end(&tell) && status == CTL_OK;
    if (ctl->json && count >= 0) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "queue_id", json_object_new_string(queue_id));
        json_object_object_add(object, "due", json_object_new_int(count));
        json_object_object_add(object, "postfix_told", json_object_new_boolean(told));
        ctl_print_json(object);
    }
    if (status == CTL_OK && !ctl->json)
        printf("%d due now%s\n", count,
               told ? ", and Postfix is told"
                    : "; Postfix could not be told, and comes when its own time is up");
    return told ? CTL_OK : CTL_TROUBLE;
}

static enum ctl_status run(struct ctl *ctl)
{
    if (ctl->operand_count == 0)
        return list(ctl);
    if (strcmp(ctl->operands[0], "retry") != 0)
        return ctl_usage(ctl, "\"%s\" is not known here: say retry or nothing", ctl->operands[0]);
    if (ctl->operand_count != 2)
        return ctl_usage(ctl, "retry takes one queue id");
    return retry(ctl, ctl->operands[1]);
}

const struct ctl_command ctl_deliveries = {
    .name = "deliveries",
    .synopsis = "[retry QUEUE_ID]",
    .summary = "Show messages that wait for their next attempt, or make one due now, and tell Postfix",
    .examples = "  sendpostctl deliveries\n"
                "  sendpostctl deliveries retry 4bXyz1Qwz9\n",
    .options = NULL,
    .run = run,
};
