/*
 * What a TPSP answered, as slow_down takes it: how much it accepts, defers and refuses, and whether it says
 * that too much is sent. Only its own replies count: what we said ourselves, or what the network did, says
 * nothing of its limits.
 */
#include <string.h>

#include "delivery/delivery.h"
#include "policy/session_limit.h"
#include "policy/slow_down.h"

bool delivery_heeds(const struct delivery *delivery)
{
    enum reply_action_kind kind = delivery->relay.said.action.kind;

    return delivery->context->config->slow_down.enabled && delivery->relay.said.rule != NULL &&
           kind != REPLY_NO_ACTION && kind != REPLY_HOLD;
}

/* Before RCPT nobody has heard of the recipient; at the large providers he has no server of his own. */
static bool is_trusted(const struct delivery *delivery, const struct reply_verdict *said,
                       enum relay_stage stage)
{
    return said->action.by_service || delivery->provider.category != PROVIDER_DEFAULT || stage < RELAY_MAIL ||
           (stage == RELAY_MAIL && !said->by_default);
}

/* What was said, without what we put before it. */
static const char *words(const struct delivery *delivery, const struct outcome *outcome)
{
    const char *text = outcome->text, *peer = strstr(text, delivery->relay.peer);
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

static void hear(const struct slow_down *slow_down, const struct delivery *delivery,
                 const struct reply_verdict *said, enum relay_stage stage, const struct outcome *outcome,
                 unsigned taken)
{
    if (said->rule != NULL && said->action.kind != REPLY_NO_ACTION)
        slow_down_hear(slow_down, &(struct slow_down_heard){.action = &said->action,
                                                            .recipient = delivery->request->recipient,
                                                            .text = words(delivery, outcome),
                                                            .taken = taken,
                                                            .trusted = is_trusted(delivery, said, stage)});
}

/* What a kept session refused and a new one took may say how many messages a session takes; not what a rule
 * knows to be about a rate. */
static void learn_session(const struct delivery *delivery)
{
    const struct relay_kept_refusal *kept = &delivery->relay.kept;
    enum reply_action_kind kind = kept->said.action.kind;

    if (kept->said.rule != NULL && delivery->relay.outcome.class == OUTCOME_DELIVERED &&
        (kind == REPLY_CLOSE || kind == REPLY_NO_ACTION))
        session_limit_learn(delivery->context->rates, delivery->tpsp->name, kept->taken,
                            kind == REPLY_CLOSE ? SESSION_LIMIT_SAID : SESSION_LIMIT_ENDED);
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
    hear(&slow_down, delivery, &result->said, result->stage, &result->outcome,
         result->connection_use > 0 ? result->connection_use - 1 : 0);
    /* asked again, a new connection took it: the TPSP has spoken all the same */
    hear(&slow_down, delivery, &result->kept.said, result->kept.stage, &result->kept.outcome,
         result->kept.taken);
    learn_session(delivery);
}
