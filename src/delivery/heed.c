/*
 * What a TPSP answered, as slow_down takes it: how much it accepts, defers and refuses, and whether it says
 * that too much is sent. Only its own replies count: what we said ourselves, or what the network did, says
 * nothing of its limits.
 */
#include <string.h>

#include "delivery/delivery.h"
#include "policy/slow_down.h"

bool delivery_heeds(const struct delivery *delivery)
{
    enum reply_action_kind kind = delivery->relay.said.action.kind;

    return delivery->context->config->slow_down.enabled && delivery->relay.said.rule != NULL &&
           kind != REPLY_NO_ACTION && kind != REPLY_HOLD;
}

/* Before RCPT nobody has heard of the recipient; at the large providers he has no server of his own. */
static bool is_trusted(const struct delivery *delivery)
{
    const struct relay_result *result = &delivery->relay;

    return result->said.action.by_service || delivery->provider.category != PROVIDER_DEFAULT ||
           result->stage < RELAY_MAIL || (result->stage == RELAY_MAIL && !result->said.by_default);
}

/* What was said, without what we put before it. */
static const char *words(const struct delivery *delivery)
{
    const char *text = delivery->relay.outcome.text, *peer = strstr(text, delivery->relay.peer);
    size_t length = strlen(delivery->relay.peer);

    return length > 0 && peer != NULL && strncmp(peer + length, ": ", 2) == 0 ? peer + length + 2 : text;
}

static void note(const struct slow_down *slow_down, const struct delivery *delivery)
{
    const struct relay_result *result = &delivery->relay;
    const char *recipient = delivery->request->recipient;

    if (result->outcome.class == OUTCOME_DELIVERED || result->outcome.cause == CAUSE_IN_DOUBT)
        slow_down_note(slow_down, SLOW_DOWN_ACCEPTED, true, recipient);
    else if (result->said.rule == NULL)
        return;
    else if (result->said.of_recipient) /* nothing that the TPSP does to us */
        slow_down_note(slow_down, SLOW_DOWN_ANSWERED, true, recipient);
    else
        slow_down_note(slow_down,
                       result->outcome.class == OUTCOME_DROPPED ? SLOW_DOWN_BOUNCED : SLOW_DOWN_DEFERRED,
                       true, recipient);
}

void delivery_heed(const struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    const struct slow_down slow_down = {.config = context->config,
                                        .table = context->rates,
                                        .tpsp = delivery->tpsp,
                                        .provider = delivery->provider.category};
    const struct relay_result *result = &delivery->relay;

    note(&slow_down, delivery);
    if (result->said.rule == NULL || result->said.action.kind == REPLY_NO_ACTION)
        return;
    slow_down_hear(&slow_down, &(struct slow_down_heard){
                                   .action = &result->said.action,
                                   .recipient = delivery->request->recipient,
                                   .text = words(delivery),
                                   .taken = result->connection_use > 0 ? result->connection_use - 1 : 0,
                                   .trusted = is_trusted(delivery)});
}
