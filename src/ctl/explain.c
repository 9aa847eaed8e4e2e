/*
 * sendpostctl explain: what policy would decide now about a message to a recipient, stage by stage, and why.
 * Nothing is sent, no attempt is counted and no rate slot taken; DNS is asked where a delivery would ask it.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/gate.h"
#include "ctl/slow_words.h"
#include "policy/breaker.h"
#include "policy/pool.h"
#include "policy/pool_turn.h"
#include "policy/provider.h"
#include "policy/return_path.h"
#include "policy/suppression.h"
#include "policy/suspension.h"
#include "policy/validate.h"

struct explanation {
    struct ctl *ctl;
    const struct config *config;
    struct store *store;
    struct dns_resolver *resolver;
    const char *recipient, *sender, *nexthop;
    int64_t deadline_ms;
    const struct config_pool *pool;
    enum provider_category provider;
    struct return_path path;
    struct json_object *stages;
    const char *verdict; /* "relay", "drop", "defer" */
};

/* What a stage says. outcome: NULL when the message passes. */
__attribute__((format(printf, 4, 5), nonnull(1, 2, 4))) static bool say(struct explanation *explanation,
                                                                        const char *stage,
                                                                        const struct outcome *outcome,
                                                                        const char *format, ...)
{
    char text[2 * OUTCOME_TEXT_SIZE];
    va_list arguments;
    const char *word = outcome == NULL ? "pass" : outcome->class == OUTCOME_DROPPED ? "drop" : "defer";

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    AUTO_FREE char *clean = ctl_text(text);
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "stage", json_object_new_string(stage));
    json_object_object_add(object, "decision", json_object_new_string(word));
    json_object_object_add(object, "text", json_object_new_string(clean));
    json_object_array_add(explanation->stages, object);
    if (!explanation->ctl->json)
        printf("%s%-5s%s  %-12s %s\n",
               ctl_colour(outcome == NULL                     ? CTL_GREEN
                          : outcome->class == OUTCOME_DROPPED ? CTL_RED
                                                              : CTL_YELLOW),
               word, ctl_colour(CTL_PLAIN), stage, clean);
    if (outcome != NULL)
        explanation->verdict = word;
    return outcome == NULL;
}

static bool stop(struct explanation *explanation, const char *stage, const struct outcome *outcome)
{
    return say(explanation, stage, outcome, "%s %s", outcome->enhanced, outcome->text);
}

static bool explain_validation(struct explanation *explanation)
{
    struct validate_facts facts = {.sender = explanation->sender != NULL ? explanation->sender : "",
                                   .recipient = explanation->recipient,
                                   .from = "present"};
    struct outcome outcome;

    if (!validate(explanation->config, &facts, &outcome))
        return stop(explanation, "validation", &outcome);
    return say(explanation, "validation", NULL, "%s can be addressed", explanation->recipient);
}

static bool explain_suppression(struct explanation *explanation)
{
    struct outcome outcome;

    if (!suppression_pass(explanation->store, explanation->config, explanation->recipient, &outcome))
        return stop(explanation, "suppression", &outcome);
    return say(explanation, "suppression", NULL,
               explanation->config->suppression.enabled ? "not on the list" : "suppression.enabled is off");
}

static bool explain_return_path(struct explanation *explanation)
{
    const struct config *config = explanation->config;
    struct return_path *path = &explanation->path;
    struct outcome outcome;

    if (explanation->sender == NULL)
        return say(explanation, "return path", NULL,
                   config->return_path.verify == VERIFY_OFF ? "return-path.verify is off"
                                                            : "depends on the sender: say --sender ADDRESS");
    if (!return_path_decide(config, explanation->store, explanation->resolver, NULL, explanation->sender,
                            "UUID", explanation->deadline_ms, path, &outcome))
        return outcome.class == OUTCOME_DEFERRED
                   ? stop(explanation, "return path", &outcome)
                   : say(explanation, "return path", &outcome, "%s %s (sender domain %s: %s)",
                         outcome.enhanced, outcome.text, *path->domain ? path->domain : "none", path->note);
    return say(explanation, "return path", NULL, "MAIL FROM:<%s> (sender domain %s: %s)", path->sender,
               *path->domain ? path->domain : "none", path->note);
}

static bool explain_provider(struct explanation *explanation)
{
    struct provider provider;
    const char *name;

    provider_find(explanation->config, explanation->store, explanation->resolver, explanation->recipient,
                  explanation->deadline_ms, &provider);
    explanation->provider = provider.category;
    name = provider_category_name(provider.category);
    if (provider.how == PROVIDER_BY_DOMAIN)
        return say(explanation, "provider", NULL, "%s, by the domain rule %s", name, provider.pattern);
    if (provider.how == PROVIDER_BY_MX)
        return say(explanation, "provider", NULL, "%s, by the MX rule %s for %s", name, provider.pattern,
                   provider.host);
    return say(explanation, "provider", NULL, "%s: %s", name,
               *provider.note ? provider.note
               : explanation->config->provider_lookup == PROVIDER_LOOKUP_DOMAIN
                   ? "no rule for the domain, and MX hosts "
                     "are not looked at (provider-lookup)"
                   : "no rule for the domain or its MX hosts");
}

static bool explain_pool(struct explanation *explanation)
{
    static const char *const strategies[] = {[STRATEGY_FAILOVER] = "failover",
                                             [STRATEGY_ROUND_ROBIN] = "round-robin",
                                             [STRATEGY_WEIGHTED] = "weighted",
                                             [STRATEGY_BY_PROVIDER] = "by-provider",
                                             [STRATEGY_BY_SENDER_DOMAIN] = "by-sender-domain"};
    const struct config *config = explanation->config;
    const struct config_pool *pool = config_pool_for(config, explanation->nexthop, explanation->recipient);
    AUTO_FREE char *members = xstrdup("");
    struct outcome outcome;

    if (pool == NULL) {
        outcome_local(&outcome, "4.3.5",
                      "no pool is named \"%s\"; add it to pools in %s, or correct the nexthop",
                      explanation->nexthop, config->path);
        return stop(explanation, "pool", &outcome);
    }
    explanation->pool = pool;
    for (size_t i = 0; i < pool->member_count; i++) {
        char *longer =
            xasprintf("%s%s%s", members, i > 0 ? ", " : "", config->tpsps[pool->members[i].tpsp].name);
        free(members);
        members = longer;
    }
    return say(explanation, "pool", NULL, "%s, %s: %s", pool->name, strategies[pool->strategy], members);
}

static struct route_facts facts_of(const struct explanation *explanation)
{
    return (struct route_facts){.provider = explanation->provider, .sender_domain = explanation->path.domain};
}

static const char *member_name(const struct explanation *explanation, const struct config_pool *pool,
                               size_t member)
{
    return explanation->config->tpsps[pool->members[member].tpsp].name;
}

/* Who comes first, where the message itself decides that. */
static bool explain_route(struct explanation *explanation)
{
    const struct config_pool *pool = explanation->pool;
    const struct route_facts facts = facts_of(explanation);
    const struct config_route *route = route_find(pool, &facts);
    bool by_domain = pool->strategy == STRATEGY_BY_SENDER_DOMAIN;
    const char *what = by_domain ? facts.sender_domain : provider_category_name(facts.provider);

    if (pool->route_count == 0)
        return true;
    if (by_domain && *what == '\0')
        what = explanation->sender != NULL ? "no sender domain" : "no sender domain (say --sender ADDRESS)";
    if (route == NULL)
        return say(explanation, "route", NULL,
                   "%s: none of the routes, and there is no default: the members "
                   "in their order",
                   what);
    return say(explanation, "route", NULL, "%s: to %s first, by the route %s", what,
               member_name(explanation, pool, route->member), route->key);
}

static void explain_slowed(struct explanation *explanation, struct rate_table *table,
                           const struct config_tpsp *tpsp)
{
    const struct slow_down slow_down = {
        .config = explanation->config, .table = table, .tpsp = tpsp, .provider = explanation->provider};
    struct slow_down_view view;

    for (int of_provider = 0; of_provider < 2; of_provider++)
        if (slow_down_look(&slow_down, of_provider, &view)) {
            AUTO_FREE char *words = slow_words(
                &view, table, tpsp->name, of_provider ? provider_category_name(explanation->provider) : NULL);
            say(explanation, "slow-down", NULL, "%s", words);
        }
}

/* Those that are kept count, too, though the next message would take one of them. The caller frees. */
static char *connections_text(const struct explanation *explanation, const struct config_tpsp *tpsp)
{
    if (tpsp->max_connections == 0)
        return xstrdup("");
    struct connections_desk *desk = connections_open(explanation->config);
    unsigned count = connections_count(desk, tpsp);
    connections_close(desk);
    return xasprintf(", %u of %u connections open", count, tpsp->max_connections);
}

/* Whether this TPSP would be asked now: it is not left alone, and each of its limits has a slot. */
static bool explain_tpsp(struct explanation *explanation, const struct admission_gate *gate,
                         const struct config_tpsp *tpsp)
{
    AUTO_FREE char *stage = xasprintf("tpsp %s", tpsp->name);
    struct rate_table *table = gate->table;
    struct breaker breaker = breaker_look(table, tpsp->name);
    struct rate_set set;
    struct outcome outcome;
    int64_t next_ns;

    if (breaker.state == BREAKER_OPEN) {
        outcome_set(&outcome, OUTCOME_DEFERRED, CAUSE_HOST, 0, "4.4.1",
                    "left alone after %u failures in a row%s", breaker.failures, breaker_whose(&breaker));
        return stop(explanation, stage, &outcome);
    }
    if (!rate_set_init(&set, tpsp, explanation->provider, explanation->config->rate_burst, &outcome))
        return stop(explanation, stage, &outcome);
    if (!admission_apply(gate, &set, &next_ns, &outcome)) {
        explain_slowed(explanation, table, tpsp);
        return stop(explanation, stage, &outcome);
    }
    explain_slowed(explanation, table, tpsp);
    for (size_t i = 0; i < set.count; i++)
        if (admission_peek(gate, &set, i, &next_ns) == 0) {
            if (next_ns == ADMISSION_NEVER)
                outcome_set(&outcome, OUTCOME_DEFERRED, CAUSE_RATE, 0, "4.7.1",
                            "the cluster that keeps its limits is away: %s", cluster_why_away(gate->cluster));
            else
                rate_limit_explain(tpsp->name, &set.limits[i], next_ns - rate_table_now(table), &outcome);
            return stop(explanation, stage, &outcome);
        }
    AUTO_FREE char *connections = connections_text(explanation, tpsp);
    return say(explanation, stage, NULL, "%s:%u, no rate limit reached%s%s", tpsp->host, (unsigned)tpsp->port,
               connections,
               breaker.state == BREAKER_TRY ? "; it failed before, this message would be the one to try it"
                                            : "");
}

/* The members in the order in which the next message would ask them. The one that would get it, or NULL. */
static const struct config_tpsp *explain_members(struct explanation *explanation,
                                                 const struct admission_gate *gate,
                                                 const struct config_pool *pool)
{
    const struct config *config = explanation->config;
    const struct route_facts facts = facts_of(explanation);
    AUTO_FREE size_t *order = xcalloc(pool->member_count, sizeof *order);
    const struct config_tpsp *way = NULL;

    pool_peek_order(gate->table, pool, &facts, order);
    for (size_t i = 0; i < pool->member_count; i++) {
        const struct config_tpsp *tpsp = &config->tpsps[pool->members[order[i]].tpsp];
        if (explain_tpsp(explanation, gate, tpsp) && way == NULL)
            way = tpsp;
    }
    return way;
}

/* False: it is, and so its mail waits, and that of others for which it is the overflow. */
static bool explain_suspended(struct explanation *explanation, const struct admission_gate *gate,
                              const struct config_pool *pool)
{
    const struct suspension_scope scope = {.pool = pool->name};
    struct outcome outcome;
    int64_t until_ns;

    return !suspension_bars(gate->table, &scope, clock_realtime_ms(), &until_ns, &outcome) ||
           stop(explanation, "pool", &outcome);
}

static bool explain_tpsps(struct explanation *explanation)
{
    const struct config *config = explanation->config;
    const struct config_pool *pool = explanation->pool;
    const struct config_tpsp *way = NULL;
    struct ctl_gate gate;
    struct outcome outcome;

    bool ok = ctl_gate_open(&gate, config, &outcome);
    if (!ok)
        return stop(explanation, "rates", &outcome);
    for (;;) {
        if (!explain_suspended(explanation, &gate.gate, pool))
            break;
        way = explain_members(explanation, &gate.gate, pool);
        if (way != NULL || pool->overflow < 0)
            break;
        const struct config_pool *next = &config->pools[pool->overflow];
        say(explanation, "overflow", NULL, "nobody in pool %s can take it now: pool %s", pool->name,
            next->name);
        pool = next;
    }
    ctl_gate_close(&gate);
    explanation->verdict = way != NULL ? "relay" : "defer";
    if (way == NULL)
        return false;
    return say(explanation, "way", NULL, "%s, of pool %s", way->name, pool->name);
}

static enum ctl_status explain(struct explanation *explanation)
{
    /* the order of delivery/deliver.c; there is no message, so the retry ladder has nothing to say */
    static bool (*const stages[])(struct explanation *) = {
        explain_validation, explain_suppression, explain_return_path, explain_pool,
        explain_provider,   explain_route,       explain_tpsps,
    };
    bool pass = true;

    for (size_t i = 0; pass && i < sizeof stages / sizeof stages[0]; i++)
        pass = stages[i](explanation);
    if (explanation->ctl->json) {
        struct json_object *object = json_object_new_object();
        json_object_object_add(object, "recipient", json_object_new_string(explanation->recipient));
        json_object_object_add(object, "decision", json_object_new_string(explanation->verdict));
        json_object_object_add(object, "stages", explanation->stages);
        ctl_print_json(object);
    } else {
        json_object_put(explanation->stages);
    }
    return pass ? CTL_OK : CTL_TROUBLE;
}

static enum ctl_status run(struct ctl *ctl)
{
    const struct config *config;
    const char *nexthop = ctl_option(ctl, "pool");
    struct explanation explanation = {.ctl = ctl, .sender = ctl_option(ctl, "sender"), .verdict = "relay"};
    enum ctl_status status;

    if (ctl->operand_count != 1)
        return ctl_usage(ctl, "one recipient is wanted");
    config = ctl_config(ctl);
    if (config == NULL || (explanation.store = ctl_store(ctl)) == NULL)
        return CTL_TROUBLE;
    explanation.config = config;
    explanation.recipient = ctl->operands[0];
    explanation.nexthop = nexthop != NULL ? nexthop : "";
    if (explanation.sender != NULL && strcmp(explanation.sender, "<>") == 0)
        explanation.sender = "";
    explanation.stages = json_object_new_array();
    explanation.deadline_ms = clock_monotonic_ms() + config->delivery_timeout_ms;
    explanation.resolver = dns_open((const char *const *)config->dns.servers.items, config->dns.servers.count,
                                    (int)config->dns.timeout_ms);
    status = explain(&explanation);
    dns_close(explanation.resolver);
    return status;
}

static const struct ctl_option options[] = {
    {"sender", 's', "ADDRESS", "sender, in the envelope and in From:; <> is the null sender"},
    {"pool", 'p', "POOL", "the nexthop that Postfix would give (default)"},
    {.name = NULL},
};

const struct ctl_command ctl_explain = {
    .name = "explain",
    .synopsis = "RECIPIENT [--sender ADDRESS] [--pool POOL]",
    .summary = "Say what would be decided now about a message, and why",
    .examples = "  sendpostctl explain user@example.com --sender news@example.org\n",
    .options = options,
    .run = run,
};
