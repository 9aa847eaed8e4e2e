/* Whether a message is sent now, from where and through which pool: the stages of policy in their order. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "delivery/delivery.h"
#include "policy/limit_words.h"
#include "policy/slow_down.h"
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

    if (context->store == NULL)
        return true;
    bool due = retry_due(context->store, context->config, &key, clock_realtime_ms(), &delivery->past,
                         &delivery->outcome);
    store_read_end(context->store); /* names may have to be waited for from here on */
    return due;
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

/* Some TPSP of the pool was told that this recipient gets too much: it is he who does, whoever brings it. */
static bool is_not_held(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    struct slow_down slow_down = {.config = context->config, .table = context->rates};
    int64_t until_ns;

    if (context->rates == NULL || !context->config->slow_down.enabled)
        return true;
    for (size_t i = 0; i < delivery->pool->member_count; i++) {
        slow_down.tpsp = &context->config->tpsps[delivery->pool->members[i].tpsp];
        if (!slow_down_holds(&slow_down, delivery->request->recipient, &until_ns))
            continue;
        int64_t seconds = (until_ns - rate_table_now(context->rates)) / 1000000000 + 1;
        outcome_set(&delivery->outcome, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                    LIMIT_WORDS_RECIPIENT ", TPSP %s was told; held for %" PRId64 " s more",
                    slow_down.tpsp->name, seconds);
        return false;
    }
    return true;
}

bool delivery_decide(struct delivery *delivery)
{
    const struct deliver_context *context = delivery->context;
    char *from AUTO_FREE = message_header(delivery->message, "From", 0);

    if (!is_valid(delivery, from) || !is_not_suppressed(delivery) || !has_return_path(delivery, from) ||
        !is_due(delivery) || !has_pool(delivery) || !is_not_held(delivery))
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
