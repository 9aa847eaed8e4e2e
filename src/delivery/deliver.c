#include "delivery/deliver.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "delivery/claim.h"
#include "delivery/identity.h"
#include "delivery/status.h"
#include "event/event_store.h"
#include "policy/provider.h"
#include "policy/retry.h"
#include "policy/return_path.h"
#include "policy/suppression.h"
#include "policy/validate.h"

#define OWN_REPORT_MS \
    5000 /* beyond report.timeout: the time that a fresh event is ours before others report it */

/* One delivery on its way through the stages. */
struct delivery {
    const struct deliver_context *context;
    const struct delivery_request *request;
    struct message *message;
    int64_t start_ms;
    int claim; /* descriptor, -1 when none */

    char uuid[UUID_SIZE];
    struct return_path path;
    const char *sender; /* reverse path as it is sent */
    int failures;       /* attempts that failed before this one */
    struct provider provider;
    const struct config_pool *pool;
    const struct config_tpsp *tpsp;

    bool asked; /* relay holds what the TPSP was asked and said */
    struct relay_result relay;
    struct outcome outcome;

    bool recorded; /* event is in the store, in this state */
    struct event event;
    enum event_state event_state;
};

/* --- record: the event row ----------------------------------------------------------------------- */

static enum event_cs event_kind(const struct delivery *delivery)
{
    switch (delivery->outcome.class) {
    case OUTCOME_DELIVERED:
        return delivery->context->config->report.accepted_as == ACCEPTED_AS_SENT ? CS_SENT : CS_DELIVERED;
    case OUTCOME_DEFERRED:
        return CS_DEFERRED;
    default:
        return CS_DROPPED;
    }
}

/* Whether the server itself said the enhanced status code, or we did because the words are ours. */
static bool enhanced_code_is_known(const struct outcome *outcome)
{
    return outcome->smtp_code == 0 || outcome->cause == CAUSE_HOST ||
           outcome_enhanced_length(outcome->text, strlen(outcome->text)) > 0;
}

static void compose_event(struct delivery *delivery)
{
    const struct outcome *outcome = &delivery->outcome;
    const struct config_tpsp *tpsp = delivery->tpsp;
    struct event *event = &delivery->event;
    char occurrence[CLOCK_RFC3339_SIZE] = "";

    *event = (struct event){.cs = event_kind(delivery),
                            .source = EVENT_SOURCE_PIPE,
                            .timestamp_ms = clock_realtime_ms(),
                            .smtp_code = outcome->smtp_code};
    snprintf(event->message_id, sizeof event->message_id, "%s", delivery->uuid);
    snprintf(event->recipient, sizeof event->recipient, "%s", delivery->request->recipient);
    snprintf(event->sender, sizeof event->sender, "%s", delivery->request->sender);
    snprintf(event->queue_id, sizeof event->queue_id, "%s", delivery->request->queue_id);
    if (enhanced_code_is_known(outcome))
        snprintf(event->smtp_enhanced_code, sizeof event->smtp_enhanced_code, "%s", outcome->enhanced);
    event_describe(event, outcome->text, strlen(outcome->text));
    if (tpsp != NULL) {
        snprintf(event->tpsp, sizeof event->tpsp, "%s", tpsp->name);
        event->tpsp_id = tpsp->id;
        event->attempt = delivery->failures + 1;
        snprintf(event->provider, sizeof event->provider, "%s",
                 provider_category_name(delivery->provider.category));
    }
    if (event->cs == CS_DEFERRED) /* it can happen again, to the same message */
        clock_rfc3339(event->timestamp_ms, occurrence);
    event_identify(event, occurrence);
}

static bool record_event(struct delivery *delivery, struct outcome *error_r)
{
    const struct config *config = delivery->context->config;
    int64_t due_ms = clock_realtime_ms() + config->report.timeout_ms + OWN_REPORT_MS;

    delivery->event_state = event_report_state(config, &delivery->event);
    delivery->recorded =
        event_store_add(delivery->context->store, &delivery->event, delivery->event_state, due_ms, error_r);
    return delivery->recorded;
}

/* The final 2xx was read this very moment: from here until the row is there, a kill would send the message twice. */
static void record_accepted(void *context, const struct outcome *outcome)
{
    struct delivery *delivery = context;
    struct outcome error;

    delivery->outcome = *outcome;
    compose_event(delivery);
    if (!record_event(delivery, &error))
        log_line(LOG_ERR, "%s: accepted by %s but not on record yet: %s", delivery->uuid,
                 delivery->tpsp->name, error.text);
}

/*
 * The TPSP has the message and the store does not take the row (a disk that filled up meanwhile). Told 75 now, Postfix would send it twice; told
 * 0, the event would be lost. So try on as long as there is time.
 */
static void insist_on_record(struct delivery *delivery)
{
    const struct timespec pause = {.tv_nsec = 500 * 1000 * 1000};
    struct outcome error;

    while (!record_event(delivery, &error)) {
        if (clock_monotonic_ms() + 2000 >= delivery->context->deadline_ms) {
            outcome_local(&delivery->outcome, "4.3.0", "accepted by %s, may be sent twice: %s",
                          delivery->tpsp->name, error.text);
            return;
        }
        nanosleep(&pause, NULL);
    }
}

static struct retry_key retry_key_of(const struct delivery *delivery)
{
    return (struct retry_key){delivery->request->queue_id, delivery->request->recipient, delivery->uuid};
}

/* The message is through: the ladder is not needed any more. What stays of it in a crash is swept one day. */
static void record_end(const struct delivery *delivery)
{
    struct retry_key key = retry_key_of(delivery);
    struct outcome error;

    if (delivery->failures > 0 && !retry_forget(delivery->context->store, &key, &error))
        log_line(LOG_WARNING, "%s: retries not forgotten: %s", delivery->uuid, error.text);
}

/* A failed attempt and the event that tells of it, both or none; the last one turns into a drop here. */
static bool record_failure(struct delivery *delivery, struct outcome *error_r)
{
    struct store *store = delivery->context->store;
    struct retry_key key = retry_key_of(delivery);

    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    if (retry_failed(store, delivery->context->config, &key, delivery->request->sender, delivery->tpsp->name,
                     clock_realtime_ms(), &delivery->outcome, error_r)) {
        compose_event(delivery);
        if (record_event(delivery, error_r) && store_commit(store, error_r))
            return true;
    }
    store_rollback(store);
    delivery->recorded = false;
    return false;
}

static bool record_drop(struct delivery *delivery, struct outcome *error_r)
{
    compose_event(delivery);
    if (!record_event(delivery, error_r))
        return false;
    record_end(delivery);
    return true;
}

static void record(struct delivery *delivery)
{
    const struct outcome *outcome = &delivery->outcome;
    bool dropped = outcome->class == OUTCOME_DROPPED;
    struct outcome error;

    if (outcome->class == OUTCOME_DELIVERED) {
        if (!delivery->recorded)
            insist_on_record(delivery);
        record_end(delivery);
        return;
    }
    if (dropped ? record_drop(delivery, &error) : !retry_counts(outcome) || record_failure(delivery, &error))
        return;
    if (outcome->class == OUTCOME_DROPPED)
        delivery->outcome = error; /* Postfix keeps it until the event can be kept */
    else
        log_line(LOG_WARNING, "%s: failed attempt not on record: %s", delivery->uuid, error.text);
}

/* --- identify ---------------------------------------------------------------------------------------- */

/* An earlier run got through to the TPSP and was cut short before Postfix heard of it. */
static bool accepted_before(struct delivery *delivery)
{
    const struct delivery_request *request = delivery->request;
    struct event *event = &delivery->event;

    if (*request->queue_id == '\0')
        return false;
    int found =
        event_store_find_accepted(delivery->context->store, request->queue_id, delivery->uuid,
                                  request->recipient, event, &delivery->event_state, &delivery->outcome);
    if (found <= 0)
        return found < 0;
    outcome_set(&delivery->outcome, OUTCOME_DELIVERED, CAUSE_NONE, event->smtp_code,
                event->smtp_enhanced_code, "%s", event->smtp_description);
    delivery->tpsp = config_tpsp_by_name(delivery->context->config, event->tpsp);
    delivery->recorded = true;
    return true;
}

/* False when there is nothing left to decide: the outcome is known already. */
static bool identify(struct delivery *delivery)
{
    const struct delivery_request *request = delivery->request;

    identity_uuid(delivery->uuid, delivery->message, request->uuid, request->queue_id, request->recipient);
    delivery->claim = claim_take(delivery->context->config->state_dir, delivery->uuid, request->queue_id,
                                 request->recipient, &delivery->outcome);
    return delivery->claim >= 0 && !accepted_before(delivery);
}

/* --- decide ---------------------------------------------------------------------------------------------- */

/* The time that recording and reporting need at the end is nobody else's. */
static int64_t work_deadline(const struct deliver_context *context)
{
    return context->deadline_ms - context->config->report.timeout_ms - 1000;
}

static bool is_valid(struct delivery *delivery, const char *from)
{
    struct validate_facts facts = {.sender = delivery->request->sender,
                                   .recipient = delivery->request->recipient,
                                   .from = from,
                                   .size = message_received_size(delivery->message),
                                   .header_overflow = message_header_overflow(delivery->message)};

    return validate(delivery->context->config, &facts, &delivery->outcome);
}

static bool is_not_suppressed(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;

    return context->store == NULL || suppression_pass(context->store, context->config,
                                                      delivery->request->recipient, &delivery->outcome);
}

static bool has_return_path(struct delivery *delivery, const char *from)
{
    const struct deliver_context *context = delivery->context;
    bool pass = return_path_decide(context->config, context->store, context->resolver, from,
                                   delivery->request->sender, delivery->uuid, work_deadline(context),
                                   &delivery->path, &delivery->outcome);

    delivery->sender = delivery->path.sender;
    return pass;
}

static bool is_due(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    struct retry_key key = retry_key_of(delivery);

    return context->store == NULL || retry_due(context->store, context->config, &key, clock_realtime_ms(),
                                               &delivery->failures, &delivery->outcome);
}

static bool has_pool(struct delivery *delivery)
{
    const struct delivery_request *request = delivery->request;
    const struct config *config = delivery->context->config;

    delivery->pool = config_pool_for(config, request->pool, request->recipient);
    if (delivery->pool == NULL)
        outcome_local(&delivery->outcome, "4.3.5",
                      "no pool is named \"%s\"; add it to pools in %s, or correct the nexthop", request->pool,
                      config->path);
    return delivery->pool != NULL;
}

/*
 * The order is a promise: what is not to be sent takes no rate slot and opens no connection, and what costs
 * more comes later. A dry run has neither store nor resolver.
 */
static bool decide(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    char *from AUTO_FREE = message_header(delivery->message, "From", 0);

    if (!is_valid(delivery, from) || !is_not_suppressed(delivery) || !has_return_path(delivery, from) ||
        !is_due(delivery) || !has_pool(delivery))
        return false;
    provider_find(context->config, context->store, context->resolver, delivery->request->recipient,
                  work_deadline(context), &delivery->provider);
    return true;
}

/* --- relay ------------------------------------------------------------------------------------------------- */

static void relay_to(struct delivery *delivery, const struct config_tpsp *tpsp)
{
    const struct deliver_context *context = delivery->context;

    delivery->tpsp = tpsp;
    identity_mark(delivery->message, delivery->uuid, context->config, tpsp);
    struct relay_request request = {
        .tpsp = tpsp,
        .sender = delivery->sender,
        .recipient = delivery->request->recipient,
        .message = message_view(delivery->message),
        .deadline_ms = work_deadline(context),
        .trace = context->trace,
        .accepted = record_accepted,
        .accepted_context = delivery,
    };
    relay_send(context->relay, &request, &delivery->relay);
    delivery->asked = true;
    delivery->outcome = delivery->relay.outcome;
}

static void relay(struct delivery *delivery)
{
    const struct config *config = delivery->context->config;
    const struct config_pool *pool = delivery->pool;

    for (size_t i = 0; i < pool->member_count; i++) {
        relay_to(delivery, &config->tpsps[pool->members[i].tpsp]);
        if (delivery->outcome.class != OUTCOME_DEFERRED || delivery->outcome.cause != CAUSE_HOST)
            break;
    }
}

/* --- report -------------------------------------------------------------------------------------------------- */

static void report(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    struct outcome error;

    if (!delivery->recorded || delivery->event_state != EVENT_PENDING)
        return;
    switch (event_report_one(context->reporter, &delivery->event, context->deadline_ms, &error)) {
    case EVENT_REPORT_DONE:
        break;
    case EVENT_REPORT_KEPT:
        log_line(LOG_WARNING, "%s: event kept for later: %s", delivery->uuid,
                 event_reporter_last_error(context->reporter));
        break;
    case EVENT_REPORT_TROUBLE:
        /* Neither reported nor safe from a power cut. The next try finds the row and has nothing left to do but this. */
        log_line(LOG_ERR, "%s: event not reported: %s", delivery->uuid, error.text);
        if (delivery->outcome.class != OUTCOME_DEFERRED)
            delivery->outcome = error;
    }
}

static void tell(const struct delivery *delivery, struct delivery_result *result_r,
                 char text_r[STATUS_TEXT_SIZE], bool in_log)
{
    struct status_facts facts = {.outcome = &delivery->outcome,
                                 .uuid = delivery->uuid,
                                 .tpsp = delivery->tpsp ? delivery->tpsp->name : "",
                                 .relay = delivery->asked ? &delivery->relay : NULL,
                                 .queue_id = delivery->request->queue_id,
                                 .sender = delivery->sender,
                                 .recipient = delivery->request->recipient,
                                 .delay_ms = clock_monotonic_ms() - delivery->start_ms};

    if (in_log)
        status_log(&facts);
    status_result(&facts, result_r, text_r);
}

void deliver(const struct deliver_context *context, const struct delivery_request *request,
             struct message *message, struct delivery_result *result_r, char text_r[STATUS_TEXT_SIZE])
{
    struct delivery delivery = {.context = context,
                                .request = request,
                                .message = message,
                                .sender = request->sender,
                                .start_ms = clock_monotonic_ms(),
                                .claim = -1};

    if (identify(&delivery) && decide(&delivery))
        relay(&delivery);
    record(&delivery);
    report(&delivery);

    tell(&delivery, result_r, text_r, true);
    if (delivery.claim >= 0)
        close(delivery.claim);
}

static void print_message(const struct relay_message *view, FILE *output)
{
    char bytes[65536];
    ssize_t got;

    for (uint64_t at = 0; (got = view->read_at(view->context, at, bytes, sizeof bytes)) > 0;
         at += (uint64_t)got)
        fwrite(bytes, 1, (size_t)got, output);
}

void deliver_dry_run(const struct deliver_context *context, const struct delivery_request *request,
                     struct message *message, FILE *output, struct delivery_result *result_r,
                     char text_r[STATUS_TEXT_SIZE])
{
    struct delivery delivery = {.context = context,
                                .request = request,
                                .message = message,
                                .sender = request->sender,
                                .start_ms = clock_monotonic_ms(),
                                .claim = -1};

    identity_uuid(delivery.uuid, message, request->uuid, request->queue_id, request->recipient);
    if (decide(&delivery)) {
        delivery.tpsp = &context->config->tpsps[delivery.pool->members[0].tpsp];
        identity_mark(message, delivery.uuid, context->config, delivery.tpsp);
        fprintf(output, "MAIL FROM:<%s>\nRCPT TO:<%s>\n\n", delivery.sender, request->recipient);
        print_message(message_view(message), output);
        outcome_set(&delivery.outcome, OUTCOME_DELIVERED, CAUSE_NONE, 250, "2.0.0",
                    "dry run, nothing was sent");
    }
    tell(&delivery, result_r, text_r, false);
}
