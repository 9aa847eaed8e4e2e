/*
 * sendpost-record: what a report says becomes events, a complaint an entry of the suppression list: store,
 * API, log. Started by sendpost-bounce and by
 * nobody else. The request comes over REQUEST_DESCRIPTOR, and the result goes back over it; the report is on
 * standard input, which is left to sendpost-judge: this process, which has the key, looks at no byte of it
 * (bounce/judge_process.h). What is printed here, or by any library, ends in the log; with --dry-run standard
 * output is the answer.
 *
 * What if it dies here? Before the commit of the events nothing has happened; after it, the same report makes
 * the same event ids, which the store has already. So the supervisor's 75 is right wherever this ends.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/bounce_address.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/state_dir.h"
#include "base/xalloc.h"
#include "bounce/bounce_event.h"
#include "bounce/complaint_store.h"
#include "bounce/judge_process.h"
#include "config/config.h"
#include "event/event_report.h"
#include "net/sigpipe.h"
#include "policy/slow_down_behind.h"
#include "store/store.h"
#include "supervisor/channel.h"

#define DEADLINE_MS 120000 /* for reporting to the API; what is left then stays pending */

struct judging {
    const struct delivery_request *request;
    struct judgement judgement;
    struct config *config; /* not with --dry-run */
    struct store *store;
    struct delivery_result result;
};

/* --- --dry-run ------------------------------------------------------------------------------------------ */

static void print_recipients(const struct judging *judging)
{
    const struct delivery_request *request = judging->request;
    const struct dsn *report = &judging->judgement.report;
    struct bounce_address verp;
    bool named = bounce_address_parse(&verp, request->recipient, strlen(request->recipient));

    for (size_t i = 0; i < report->count; i++) {
        const struct dsn_recipient *recipient = &report->recipients[i];
        const char *message_id = named ? verp.uuid : report->message_id;
        struct event event;
        struct json_object *object;

        if (report->complaint) {
            fprintf(stderr, "no event: complaint (%s), to=<%s>, uuid=%s: would be suppressed\n",
                    recipient->text, recipient->address, message_id);
            continue;
        }
        bounce_event_compose(&event, report, recipient, recipient->address, message_id, NULL,
                             clock_realtime_ms());
        object = event_to_json(&event, NULL);
        json_object_object_add(object, "status", json_object_new_string(recipient->status));
        json_object_object_add(object, "delayed", json_object_new_boolean(recipient->delayed));
        json_object_object_add(object, "reason", json_object_new_string(recipient->reason));
        json_object_object_add(object, "rule", json_object_new_string(recipient->rule));
        puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(object);
    }
    fflush(stdout);
}

/* --- for good --------------------------------------------------------------------------------------- */

static const char *queue_id(const struct judging *judging)
{
    return *judging->request->queue_id ? judging->request->queue_id : "NOQUEUE";
}

/* A message that makes no event is counted and logged, and that is all. */
static bool ignore(struct judging *judging, const char *counter, const char *why, struct outcome *error_r)
{
    char more[64] = "";
    uint64_t told;

    snprintf(judging->result.text, sizeof judging->result.text, "2.0.0 no event: %s", why);
    if (!bounce_event_count(judging->store, counter, clock_realtime_ms(), &told, error_r))
        return false;
    if (told > 1)
        snprintf(more, sizeof more, ", and %llu more of the kind", (unsigned long long)told - 1);
    /* a postmaster who tries looks for his own; what is forged comes in floods */
    if (told > 0 || strcmp(counter, "ignored") == 0)
        log_line(LOG_INFO, "%s: to=<%s>, from=<%s>, status=ignored (%s)%s", queue_id(judging),
                 judging->request->recipient, judging->request->sender, why, more);
    return true;
}

static void log_event(const struct judging *judging, const struct event *event,
                      const struct belief_failure *failure)
{
    const struct dsn_recipient *recipient = failure->said;

    if (failure->suppressed)
        log_line(LOG_INFO, "to=<%s>, uuid=%s: suppressed after a hard bounce: %d %s %s", event->recipient,
                 event->message_id, event->smtp_code, event->smtp_enhanced_code, event->smtp_description);
    log_line(LOG_INFO, "%s: to=<%s>, uuid=%s, dsn=%s, reason=%s, rule=\"%s\", status=%s (%s)",
             queue_id(judging), event->recipient, event->message_id,
             *event->smtp_enhanced_code ? event->smtp_enhanced_code : "none", recipient->reason,
             recipient->rule, event_type(event), event->smtp_description);
}

/* They are on disk; what the API does not take now is reported by the agent. */
static void report_events(const struct judging *judging, const struct event *events, size_t count)
{
    int64_t deadline_ms = clock_monotonic_ms() + DEADLINE_MS;
    struct event_reporter *reporter = event_reporter_open(
        judging->config, judging->store,
        &(struct event_reporter_options){.trace = judging->request->verbose ? stderr : NULL});
    enum event_report_result result = EVENT_REPORT_DONE;
    struct outcome error;

    for (size_t i = 0; i < count && (result == EVENT_REPORT_DONE || result == EVENT_REPORT_LEFT); i++)
        if (event_report_state(judging->config, &events[i]) == EVENT_PENDING)
            result = event_report_one(reporter, &events[i], deadline_ms, &error);
    if (result == EVENT_REPORT_KEPT)
        log_line(LOG_WARNING, "%s: event kept for later: %s", queue_id(judging),
                 event_reporter_last_error(reporter));
    else if (result == EVENT_REPORT_TROUBLE)
        log_line(LOG_WARNING, "%s: event kept for later: %s", queue_id(judging), error.text);
    event_reporter_close(reporter);
}

/* What a believed report says of how we send. Of failures that are new alone: a report may come again and
 * again. */
static void heed(const struct judging *judging, const struct belief *belief)
{
    struct replies *replies = NULL;
    struct rate_table *table = NULL;
    struct outcome error;

    for (size_t i = 0; i < belief->count && judging->config->slow_down.enabled; i++) {
        const struct belief_failure *failure = &belief->failures[i];
        if (!failure->known || !failure->is_new)
            continue;
        if (table == NULL && !rate_table_open(&table, judging->config->state_dir, &rate_clock_system, &error))
            break;
        if (replies == NULL)
            replies = replies_open_beside(judging->config->path);
        const struct slow_down_said said = {.sent = &failure->sent,
                                            .recipient = failure->recipient,
                                            .code = failure->said->smtp_code,
                                            .status = failure->said->status,
                                            .text = failure->said->text,
                                            .length = strlen(failure->said->text),
                                            .time_ms = clock_realtime_ms(),
                                            .bounced = !failure->said->delayed,
                                            .in_bounce = true};
        slow_down_hear_behind(judging->config, table, replies, &said, clock_realtime_ms());
    }
    rate_table_close(table);
    replies_close(replies);
}

static bool record(struct judging *judging, const struct belief *belief, struct outcome *error_r)
{
    AUTO_FREE struct event *events = xcalloc(belief->count, sizeof *events);

    if (!bounce_event_store(judging->store, judging->config, &judging->judgement.report, belief, events,
                            clock_realtime_ms(), error_r))
        return false;
    heed(judging, belief);
    for (size_t i = 0; i < belief->count; i++)
        log_event(judging, &events[i], &belief->failures[i]);
    report_events(judging, events, belief->count);
    snprintf(judging->result.text, sizeof judging->result.text, "2.0.0 uuid=%s %s", belief->message_id,
             event_type(&events[0]));
    return true;
}

/* No event: the API knows none for it. */
static bool suppress(struct judging *judging, const struct belief *belief, struct outcome *error_r)
{
    if (!complaint_store(judging->store, judging->config, belief, clock_realtime_ms(), error_r))
        return false;
    for (size_t i = 0; i < belief->count; i++)
        log_line(LOG_INFO, "%s: to=<%s>, uuid=%s, status=complaint, suppressed%s (%s)", queue_id(judging),
                 belief->failures[i].recipient, belief->message_id,
                 belief->failures[i].suppressed ? "" : " before", belief->failures[i].said->text);
    snprintf(judging->result.text, sizeof judging->result.text, "2.0.0 uuid=%s complaint",
             belief->message_id);
    return true;
}

static bool judge_report(struct judging *judging, struct outcome *error_r)
{
    struct belief belief;

    if (judging->judgement.report.count == 0)
        return ignore(judging, "ignored", judging->judgement.report.why_none, error_r);
    bool ok = belief_form(&belief, judging->store, judging->config, judging->request->recipient,
                          &judging->judgement.report, error_r);
    if (ok && belief.why_not == NULL)
        ok = judging->judgement.report.complaint ? suppress(judging, &belief, error_r)
                                                 : record(judging, &belief, error_r);
    else if (ok)
        ok = ignore(judging, *belief.message_id == '\0' ? "unattributed" : "unbelieved", belief.why_not,
                    error_r);
    belief_clear(&belief);
    return ok;
}

/* The store and the key are opened while the judge reads. */
static bool open_store(struct judging *judging, struct outcome *error_r)
{
    judging->config = config_load(judging->request->config_path, error_r);
    return judging->config != NULL && state_dir_become_owner(judging->config->state_dir, NULL, error_r) &&
           store_open(&judging->store, judging->config->state_dir, error_r);
}

static bool dry_run(struct judging *judging)
{
    print_recipients(judging);
    if (judging->judgement.report.why_none != NULL)
        fprintf(stderr, "no event: %s\n", judging->judgement.report.why_none);
    snprintf(judging->result.text, sizeof judging->result.text, "2.0.0 dry run");
    return true;
}

static bool judge(struct judging *judging, struct outcome *error_r)
{
    AUTO_FREE char *rules = classify_path(judging->request->config_path);
    struct judge_process process;

    if (!judging->request->dry_run && !open_store(judging, error_r))
        return false;
    if (!judge_start(&process, rules, judging->request, error_r) ||
        !judge_finish(&process, &judging->judgement, error_r))
        return false;
    if (!channel_is_awaited()) {
        outcome_local(error_r, "4.3.0", "nobody waits for this bounce any more: it may be cut short");
        return false;
    }
    return judging->request->dry_run ? dry_run(judging) : judge_report(judging, error_r);
}

int main(void)
{
    static struct judging judging;
    struct delivery_request request;
    struct outcome error;
    AUTO_FREE char *payload = NULL;

    prctl(PR_SET_DUMPABLE, 0); /* no core file, no ptrace by peers of the same user: there is a key in here */
    signal(SIGTERM, SIG_IGN);  /* finishing and recording what was begun is the safe way to end */
    sigpipe_ignore();
    if (!channel_receive(&request, &payload)) {
        fputs("sendpost-record is started by sendpost-bounce, not by hand\n", stderr);
        return EX_USAGE;
    }
    log_open("bounce", false);
    judging.request = &request;
    if (!judge(&judging, &error)) {
        judging.result.status = EX_TEMPFAIL;
        snprintf(judging.result.text, sizeof judging.result.text, "%s %s", error.enhanced, error.text);
    }
    fflush(stdout);
    channel_stop_looking();
    channel_send(&judging.result);
    judgement_clear(&judging.judgement);
    store_close(judging.store);
    config_free(judging.config);
    return EX_OK;
}
