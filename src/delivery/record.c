/* What became of a delivery, as event row and step of the retry ladder. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/encoded_word.h"
#include "base/log.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "delivery/delivery.h"
#include "delivery/intent.h"
#include "delivery/message.h"
#include "event/event_report.h"

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
    return outcome->smtp_code == 0 || outcome_of_tpsp(outcome) ||
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
        event->attempt = delivery->past.attempts + 1;
        snprintf(event->provider, sizeof event->provider, "%s",
                 provider_category_name(delivery->provider.category));
    }
    if (event->cs == CS_DEFERRED) /* it can happen again, to the same message */
        clock_rfc3339(event->timestamp_ms, occurrence);
    /* queue ids are used again, and applications may use a UUID again: only the same bytes are the same */
    event_identify(event, event->cs == CS_DEFERRED ? occurrence : message_content(delivery->message));
}

/* What people know the message by. */
static struct event_mail describe_mail(const struct delivery *delivery)
{
    AUTO_FREE char *id = message_header(delivery->message, "Message-ID", 0);
    AUTO_FREE char *subject =
        delivery->context->config->events_subject ? message_header(delivery->message, "Subject", 0) : NULL;
    struct event_mail mail = {"", ""};

    if (id != NULL)
        utf8_clean(mail.message_id, sizeof mail.message_id, id, strlen(id));
    if (subject != NULL)
        encoded_word_decode(mail.subject, sizeof mail.subject, subject);
    return mail;
}

/* What ends a message and is reported nowhere is on disk before Postfix is told; what is reported is at the
 * API by then, or made durable when it is kept. */
static enum store_durability durability_of(enum event_cs cs, enum event_state state)
{
    return cs != CS_DEFERRED && state == EVENT_LOCAL ? STORE_DURABLE : STORE_NORMAL;
}

/* The event and the end of the intent, both or none; inside the caller's transaction or as one of its own. */
static bool record_event(struct delivery *delivery, struct outcome *error_r)
{
    const struct config *config = delivery->context->config;
    struct store *store = delivery->context->store;
    int64_t due_ms = event_report_due_ms(config, clock_realtime_ms());
    const struct event_mail mail = describe_mail(delivery);
    bool own = !store_in_transaction(store);

    delivery->event_state = event_report_state(config, &delivery->event);
    if (own && !store_begin(store, durability_of(delivery->event.cs, delivery->event_state), error_r))
        return false;
    delivery->recorded =
        event_store_add_of(store, &delivery->event, &mail, delivery->event_state, due_ms, error_r) &&
        (delivery->mark < 0 || intent_remove(store, delivery->key, error_r)) &&
        (!own || store_commit(store, error_r));
    if (own && !delivery->recorded)
        store_rollback(store);
    return delivery->recorded;
}

void delivery_record_accepted(void *context, const struct outcome *outcome)
{
    struct delivery *delivery = context;
    struct outcome error;

    delivery->outcome = *outcome;
    compose_event(delivery);
    mark_accept(delivery->context->marks, delivery->mark, &delivery->event);
    delivery->accepted = true;
    if (!record_event(delivery, &error))
        log_line(LOG_ERR, "%s: accepted by %s but not on record yet: %s", delivery->uuid,
                 delivery->tpsp->name, error.text);
}

/*
 * The TPSP has the message and the store does not take the row (a disk that filled up meanwhile). The mark
 * has it: told 75, Postfix comes again, and nothing is sent for it. So it is tried for a moment only.
 */
static void insist_on_record(struct delivery *delivery)
{
    const struct timespec pause = {.tv_nsec = 250 * 1000 * 1000};
    struct outcome error;

    for (int i = 0; i < 3; i++) {
        if (record_event(delivery, &error))
            return;
        nanosleep(&pause, NULL);
    }
    outcome_local(&delivery->outcome, "4.3.0",
                  "accepted by %s, and kept from being sent again, but its event is not on record yet: %s",
                  delivery->event.tpsp, error.text);
}

/* The message is through: the ladder is not needed any more. What stays of it in a crash is swept one day. */
static void record_end(const struct delivery *delivery)
{
    struct retry_key key = delivery_retry_key(delivery);
    struct outcome error;

    if (delivery->past.listed && !retry_forget(delivery->context->store, &key, &error))
        log_line(LOG_WARNING, "%s: retries not forgotten: %s", delivery->uuid, error.text);
}

/* A failed attempt and the event that tells of it, both or none; the last one turns into a drop here. */
static bool record_failure(struct delivery *delivery, struct outcome *error_r)
{
    struct store *store = delivery->context->store;
    struct retry_key key = delivery_retry_key(delivery);
    const struct config *config = delivery->context->config;
    bool last = (size_t)delivery->past.attempts >= config->retry.schedule_count;
    const struct event expected = {.cs = last ? CS_DROPPED : CS_DEFERRED, .source = EVENT_SOURCE_PIPE};

    if (!store_begin(store, durability_of(expected.cs, event_report_state(config, &expected)), error_r))
        return false;
    if (retry_failed(store, config, &key, delivery->request->sender, delivery->tpsp->name,
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

void delivery_record(struct delivery *delivery)
{
    const struct outcome *outcome = &delivery->outcome;
    bool dropped = outcome->class == OUTCOME_DROPPED;
    struct outcome error;

    if (outcome->class == OUTCOME_DELIVERED || delivery->recorded) { /* recorded: or dropped before */
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
