/* Whether a message is sent now, from where and through which pool: the stages of policy in their order. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "delivery/delivery.h"
#include "policy/suppression.h"
#include "policy/validate.h"

int64_t delivery_work_deadline(const struct deliver_context *context)
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
                                   delivery->request->sender, delivery->uuid, delivery_work_deadline(context),
                                   &delivery->path, &delivery->outcome);

    delivery->sender = delivery->path.sender;
    return pass;
}

static bool is_due(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    struct retry_key key = delivery_retry_key(delivery);

    return context->store == NULL || retry_due(context->store, context->config, &key, clock_realtime_ms(),
                                               &delivery->past, &delivery->outcome);
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

bool delivery_decide(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    char *from AUTO_FREE = message_header(delivery->message, "From", 0);

    if (!is_valid(delivery, from) || !is_not_suppressed(delivery) || !has_return_path(delivery, from) ||
        !is_due(delivery) || !has_pool(delivery))
        return false;
    provider_find(context->config, context->store, context->resolver, delivery->request->recipient,
                  delivery_work_deadline(context), &delivery->provider);
    return true;
}

struct route_facts delivery_route_facts(const struct delivery *delivery)
{
    return (struct route_facts){.provider = delivery->provider.category,
                                .sender_domain = delivery->path.domain};
}
