/*
 * How far a delivery has come, for a later run of the same message: the intent in the store, the mark beside
 * it, and the event of its end. doc/protocol.md has the order of all this, and what a crash at each
 * point means.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "delivery/delivery.h"
#include "delivery/intent.h"
#include "delivery/mark.h"

static void take_over_acceptance(struct delivery *delivery)
{
    const struct event *event = &delivery->event;

    outcome_set(&delivery->outcome, OUTCOME_DELIVERED, CAUSE_NONE, event->smtp_code,
                event->smtp_enhanced_code, "%s", event->smtp_description);
    delivery->tpsp = config_tpsp_by_name(delivery->context->config, event->tpsp);
}

/*
 * Postfix has not heard of the drop, or keeps what was dropped (soft_bounce): its event is out, and stays.
 * Only the very same queue file is meant: what is sent again, or queued anew by postsuper -r, has another
 * queue id.
 */
static void take_over_drop(struct delivery *delivery)
{
    const struct event *event = &delivery->event;
    char when[CLOCK_RFC3339_SIZE];

    outcome_set(&delivery->outcome, OUTCOME_DROPPED, CAUSE_POLICY, event->smtp_code,
                event->smtp_enhanced_code, "dropped at %s: %s", clock_rfc3339(event->timestamp_ms, when),
                event->smtp_description);
}

/* The mark knows what happened since this boot; an intent of an earlier one, that nobody can know. */
static bool is_doubtful(struct delivery *delivery, enum mark_state state, bool *doubtful_r)
{
    int64_t boot;
    int found = intent_find(delivery->context->store, delivery->key, &boot, &delivery->outcome);

    *doubtful_r = state == MARK_DOT || (found > 0 && boot != mark_boot(delivery->context->marks));
    return found >= 0;
}

int64_t delivery_key(const struct delivery *delivery, const char *uuid)
{
    const struct delivery_request *request = delivery->request;

    return uuid_number((const char *[]){"delivery", uuid, request->queue_id, request->recipient,
                                        message_content(delivery->message)},
                       5);
}

int delivery_was_begun(struct delivery *delivery, const char *uuid)
{
    const struct deliver_context *context = delivery->context;
    int64_t key = delivery_key(delivery, uuid), boot;
    enum mark_state state;
    int known = event_store_knows(context->store, delivery->request->queue_id, uuid,
                                  delivery->request->recipient, &delivery->outcome);

    if (known == 0)
        known = intent_find(context->store, key, &boot, &delivery->outcome);
    return known == 0 && mark_find(context->marks, key, &state) >= 0 ? 1 : known;
}

bool delivery_look_back(struct delivery *delivery)
{
    const struct delivery_request *request = delivery->request;
    const struct deliver_context *context = delivery->context;
    const char *content = message_content(delivery->message);
    enum mark_state state;
    bool doubtful;

    delivery->key = delivery_key(delivery, delivery->uuid);
    if (*request->queue_id == '\0')
        return true;
    int found = event_store_find_final(context->store, request->queue_id, delivery->uuid, request->recipient,
                                       content, &delivery->event, &delivery->event_state, &delivery->outcome);
    if (found < 0)
        return false;
    int place = mark_find(context->marks, delivery->key, &state);
    if (found > 0) {
        if (place >= 0)
            mark_end(context->marks, place);
        delivery->recorded = true;
        delivery->past.listed = true; /* perhaps still: an end comes before the end of its ladder */
        if (delivery->event.cs == CS_DROPPED)
            take_over_drop(delivery);
        else
            take_over_acceptance(delivery);
        return false;
    }
    if (place >= 0 && mark_event(context->marks, place, &delivery->event)) {
        delivery->mark = place;
        delivery->accepted = true;
        take_over_acceptance(delivery);
        return false;
    }
    if (!is_doubtful(delivery, state, &doubtful))
        return false;
    if (doubtful)
        log_line(
            LOG_WARNING,
            "%s: an earlier run was ended between the end of the message and the record of its fate: it may "
            "have been accepted then, and is sent once more",
            delivery->uuid);
    return true;
}

bool delivery_intend(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    const struct delivery_request *request = delivery->request;
    struct intent intent = {.key = delivery->key,
                            .queue_id = request->queue_id,
                            .recipient = request->recipient,
                            .uuid = delivery->uuid,
                            .content = message_content(delivery->message)};
    struct outcome ignored;

    if (delivery->mark >= 0)
        return true;
    if (!intent_write(context->store, &intent, mark_boot(context->marks), clock_realtime_ms(),
                      &delivery->outcome))
        return false;
    delivery->mark =
        mark_begin(context->marks, delivery->key,
                   claim_offset(delivery->uuid, request->queue_id, request->recipient), &delivery->outcome);
    if (delivery->mark < 0)
        intent_remove(context->store, delivery->key, &ignored);
    return delivery->mark >= 0;
}

void delivery_conclude(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    struct outcome error;

    /* what may have been accepted and is not in the store is known by its mark alone */
    if (delivery->mark < 0 ||
        (!delivery->recorded && (delivery->accepted || delivery->outcome.cause == CAUSE_IN_DOUBT)))
        return;
    if (!delivery->recorded && !intent_remove(context->store, delivery->key, &error))
        log_line(LOG_WARNING, "%s: an intent is left over: %s", delivery->uuid, error.text);
    mark_end(context->marks, delivery->mark);
    delivery->mark = -1;
}
