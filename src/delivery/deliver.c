#include "delivery/deliver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mail_date.h"
#include "base/xalloc.h"
#include "delivery/delivery.h"
#include "delivery/identity.h"
#include "delivery/status.h"
#include "policy/pool.h"
#include "policy/session_limit.h"
#include "policy/told.h"

#define ANSWER_MS 60000

/* --- identify ---------------------------------------------------------------------------------------- */

/* A message that was begun under an earlier key keeps its UUID: events of it are out. */
static bool choose_uuid(struct delivery *delivery)
{
    const struct delivery_request *request = delivery->request;
    const struct uuid_keys *keys = &delivery->context->config->uuid_keys;
    char earlier[UUID_SIZE];
    int known = 0;

    identity_uuid(delivery->uuid, delivery->message, request->uuid, request->queue_id, request->recipient,
                  keys);
    for (size_t nth = 1; known == 0 && identity_earlier(earlier, delivery->message, request->uuid,
                                                        request->queue_id, request->recipient, keys, nth);
         nth++)
        known = delivery_was_begun(delivery, earlier);
    if (known > 0)
        memcpy(delivery->uuid, earlier, sizeof delivery->uuid);
    return known >= 0;
}

/* False when there is nothing left to decide: the outcome is known already. */
static bool identify(struct delivery *delivery)
{
    const struct delivery_request *request = delivery->request;

    if (!choose_uuid(delivery))
        return false;
    delivery->claim =
        claim_take(delivery->context->config->state_dir,
                   claim_offset(delivery->uuid, request->queue_id, request->recipient), &delivery->outcome);
    if (delivery->claim < 0)
        return false;
    /* what whoever had the claim before us has written is seen; delivery_decide() ends it */
    store_read_begin(delivery->context->store);
    return delivery_look_back(delivery);
}

/* --- whole ------------------------------------------------------------------------------------------- */

/*
 * Postfix counts two bytes for a line end, and two more for each piece of a line longer than its
 * line_length_limit: hence the allowance. What is missing beyond it was never written to us.
 */
static bool is_smaller(const struct message *message, uint64_t least)
{
    uint64_t most = message_received_size(message) + message_line_ends(message);

    return most + most / 16 + 1024 < least;
}

bool deliver_is_whole(const struct message *message, const struct delivery_request *request,
                      bool (*awaited)(void), struct outcome *error_r)
{
    uint64_t least = strtoull(request->size, NULL, 10);

    if (!awaited())
        outcome_local(
            error_r, "4.3.0",
            "nobody waits for this delivery any more: the message may be cut short, and is not sent");
    else if (is_smaller(message, least))
        outcome_local(error_r, "4.3.0",
                      "the message is cut short: %ju bytes came of %ju, and nothing is sent",
                      (uintmax_t)message_received_size(message), (uintmax_t)least);
    else
        return true;
    return false;
}

static bool before_dot(void *context, struct outcome *outcome_r)
{
    struct delivery *delivery = context;

    delivery->broken_off =
        !deliver_is_whole(delivery->message, delivery->request, delivery->context->awaited, outcome_r);
    if (!delivery->broken_off && !mark_set(delivery->context->marks, delivery->mark, MARK_DOT)) {
        outcome_local(outcome_r, "4.3.0", "marks was taken away from the state directory; nothing is sent");
        delivery->broken_off = true;
    }
    return !delivery->broken_off;
}

/* --- relay ------------------------------------------------------------------------------------------ */

/* Of the time for the work, for the answer to the final dot: many servers look into the message before they
 * give it. */
static int64_t answer_ms(const struct deliver_context *context)
{
    int64_t share_ms = context->config->delivery_timeout_ms / 4;

    return share_ms < ANSWER_MS ? share_ms : ANSWER_MS;
}

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
        .deadline_ms = delivery_work_deadline(context),
        .answer_ms = answer_ms(context),
        .trace = context->trace,
        .session_limit = session_limit_get(context->rates, tpsp->name),
        .before_dot = before_dot,
        .accepted = delivery_record_accepted,
        .context = delivery,
    };
    event_reporter_prepare(context->reporter, tpsp->name); /* while the TPSP is being waited for */
    relay_send(context->relay, &request, &delivery->relay);
    delivery->asked = true;
    delivery->outcome = delivery->relay.outcome;
    if (!delivery->accepted && delivery->outcome.cause != CAUSE_IN_DOUBT)
        mark_set(context->marks, delivery->mark, MARK_BEGUN);
}

/* Of the connections that a TPSP allows none is held on to but that of a session that is kept, and no session
 * is kept without one. */
static void settle_connections(const struct deliver_context *context)
{
    for (size_t i = 0; context->leases != NULL && i < context->config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &context->config->tpsps[i];
        if (connections_is_lost(context->leases, tpsp) && relay_keeps(context->relay, tpsp))
            relay_end_kept(context->relay, tpsp);
        if (!relay_keeps(context->relay, tpsp))
            deliver_disconnect(context, tpsp);
    }
}

/* What the breaker may take from a refusal. */
static struct pool_evidence evidence_of(const struct delivery *delivery)
{
    const struct relay_result *result = &delivery->relay;
    bool replied = result->said.rule != NULL;

    return (struct pool_evidence){.contacted = result->contacted,
                                  .before_recipient =
                                      result->stage < RELAY_MAIL ||
                                      (result->stage == RELAY_MAIL && !result->said.by_default),
                                  .recipient = replied ? delivery->request->recipient : NULL,
                                  .heeded = delivery_heeds(delivery)};
}

static void relay(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    const struct config_tpsp *tpsp;
    struct pool_cursor cursor;

    const struct admission_gate gate = deliver_gate(context);
    const struct route_facts facts = delivery_route_facts(delivery);
    pool_begin(&cursor, &gate, delivery->pool, &facts, delivery_work_deadline(context) - answer_ms(context));
    while (pool_next(&cursor, &tpsp, &delivery->outcome)) {
        delivery->broken_off = !delivery_intend(delivery);
        if (!delivery->broken_off)
            relay_to(delivery, tpsp);
        if (delivery->broken_off) {
            pool_break_off(&cursor, delivery->relay.contacted);
            break;
        }
        pool_report(&cursor, &delivery->outcome, evidence_of(delivery));
        delivery_heed(delivery);
        told_tell(&gate, tpsp);
        if (pool_connection_is_wanted(&cursor))
            relay_end_kept(context->relay, tpsp);
        settle_connections(context);
        if (delivery->outcome.class == OUTCOME_DELIVERED)
            store_read_begin(context->store); /* nobody is waited for before report() has read, too */
        delivery_note_standing(delivery);
    }
    pool_end(&cursor);
    settle_connections(context);
    if (!delivery->broken_off)
        delivery_hold(delivery);
}

/* --- report ----------------------------------------------------------------------------------------- */

static void report(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    struct outcome error;

    if (!delivery->recorded || delivery->event_state != EVENT_PENDING)
        return;
    switch (event_report_one(context->reporter, &delivery->event, context->deadline_ms, &error)) {
    case EVENT_REPORT_DONE:
    case EVENT_REPORT_LEFT:
        break;
    case EVENT_REPORT_KEPT:
        log_line(LOG_WARNING, "%s: event kept for later: %s", delivery->uuid,
                 event_reporter_last_error(context->reporter));
        break;
    case EVENT_REPORT_TROUBLE:
        /* Neither reported nor safe from a power cut. The next try finds the row and has nothing left to do
         * but this. */
        log_line(LOG_ERR, "%s: event not reported: %s", delivery->uuid, error.text);
        if (delivery->outcome.class != OUTCOME_DEFERRED)
            delivery->outcome = error;
    }
}

/* --- count ------------------------------------------------------------------------------------------ */

/* Since Postfix took the message, as its Received field says; else since this process did. */
static int64_t time_taken_ms(const struct delivery *delivery)
{
    AUTO_FREE char *received = message_header(delivery->message, "Received", 0);
    int64_t came_ms = received != NULL ? mail_date_received(received) : 0;

    return came_ms > 0 ? clock_realtime_ms() - came_ms : clock_monotonic_ms() - delivery->start_ms;
}

/* Where no TPSP was asked, the only one that could be. */
static const char *tpsp_of(const struct delivery *delivery)
{
    const struct config_pool *pool = delivery->pool;

    if (delivery->tpsp == NULL && (pool == NULL || pool->member_count != 1))
        return "";
    return (delivery->tpsp != NULL ? delivery->tpsp
                                   : &delivery->context->config->tpsps[pool->members[0].tpsp])
        ->name;
}

static void count(const struct delivery *delivery)
{
    bool said = delivery->asked && delivery->relay.said.rule != NULL;
    bool final = delivery->outcome.class != OUTCOME_DEFERRED;

    counters_note(
        delivery->context->counters,
        &(struct counters_delivery){
            .tpsp = tpsp_of(delivery),
            .provider = delivery->pool != NULL ? provider_category_name(delivery->provider.category) : "",
            .outcome = &delivery->outcome,
            .reason = said ? delivery->relay.said.reason : NULL,
            .rule = said ? delivery->relay.said.rule : NULL,
            .time_ms = final ? time_taken_ms(delivery) : 0,
            .certificate_ms = delivery->asked ? delivery->relay.certificate_end_ms : 0});
}

static struct delivery_result tell(const struct delivery *delivery, bool in_log)
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
    return status_result(&facts);
}

static struct delivery begin(const struct deliver_context *context, const struct delivery_request *request,
                             struct message *message)
{
    return (struct delivery){.context = context,
                             .request = request,
                             .message = message,
                             .sender = request->sender,
                             .start_ms = clock_monotonic_ms(),
                             .claim = -1,
                             .mark = -1};
}

struct delivery_result deliver(const struct deliver_context *context, const struct delivery_request *request,
                               struct message *message)
{
    struct delivery delivery = begin(context, request, message);

    bool identified = identify(&delivery);
    if (identified && delivery_decide(&delivery))
        relay(&delivery);
    else
        store_read_end(context->store);
    delivery_record(&delivery);
    delivery_conclude(&delivery);
    if (identified || delivery.outcome.class == OUTCOME_DEFERRED) /* else an earlier run has counted it */
        count(&delivery);
    report(&delivery);
    counters_note_wait(context->counters, store_take_wait_us(context->store));

    struct delivery_result result = tell(&delivery, true);
    if (delivery.claim >= 0)
        close(delivery.claim);
    return result;
}

static void print_message(const struct relay_message *view, FILE *output)
{
    char bytes[65536];
    ssize_t got;

    for (uint64_t at = 0; (got = view->read_at(view->context, at, bytes, sizeof bytes)) > 0;
         at += (uint64_t)got)
        fwrite(bytes, 1, (size_t)got, output);
}

struct delivery_result deliver_dry_run(const struct deliver_context *context,
                                       const struct delivery_request *request, struct message *message,
                                       FILE *output)
{
    struct delivery delivery = begin(context, request, message);

    identity_uuid(delivery.uuid, message, request->uuid, request->queue_id, request->recipient,
                  &context->config->uuid_keys);
    if (delivery_decide(&delivery)) {
        const struct route_facts facts = delivery_route_facts(&delivery);
        const struct config_route *route = route_find(delivery.pool, &facts);
        const struct config_member *first = &delivery.pool->members[route != NULL ? route->member : 0];
        delivery.tpsp = &context->config->tpsps[first->tpsp];
        identity_mark(message, delivery.uuid, context->config, delivery.tpsp);
        fprintf(output, "MAIL FROM:<%s>\nRCPT TO:<%s>\n\n", delivery.sender, request->recipient);
        print_message(message_view(message), output);
        outcome_set(&delivery.outcome, OUTCOME_DELIVERED, CAUSE_NONE, 250, "2.0.0",
                    "dry run, nothing was sent");
    }
    return tell(&delivery, false);
}
