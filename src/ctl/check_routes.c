/* sendpostctl check: routes of pools that no message can take. */
#include <string.h>

#include "base/xalloc.h"
#include "ctl/check.h"
#include "policy/from_header.h"
#include "policy/provider.h"
#include "policy/provider_rules.h"
#include "policy/route.h"

/* A provider that is known by MX host alone, where MX hosts are not looked at. */
static void look_provider(struct check *check, const struct config_pool *pool,
                          const struct config_route *route, const struct provider_rules *rules)
{
    enum provider_category category;

    if (check->config->provider_lookup == PROVIDER_LOOKUP_MX ||
        !provider_category_by_name(route->key, &category) || category == PROVIDER_DEFAULT ||
        provider_rules_know(rules, PROVIDER_DOMAIN, category))
        return;
    check_say(
        check, CHECK_WARNING, "provider-lookup: mx",
        "pool %s: no message takes the route %s, which is known by its MX hosts alone, and they are not "
        "looked at",
        pool->name, route->key);
}

/* A sender domain of which no message goes out. */
static void look_domain(struct check *check, const struct config_pool *pool, const struct config_route *route)
{
    const struct config *config = check->config;

    if (config->return_path.verify != VERIFY_STATIC || strcmp(route->key, "default") == 0)
        return;
    for (size_t i = 0; i < config->return_path.domains.count; i++) {
        const char *item = config->return_path.domains.items[i];
        char listed[FROM_DOMAIN_SIZE];
        if (from_header_normalise(item, strlen(item), listed) == FROM_DOMAIN_FOUND &&
            (route_covers(listed, route->key) || route_covers(route->key, listed)))
            return;
    }
    AUTO_FREE char *remedy = xasprintf("add %s to return-path.domains, or remove the route", route->key);
    check_say(check, CHECK_WARNING, remedy,
              "pool %s: no message takes the route %s: mail of that domain is dropped, for "
              "return-path.domains does not list it",
              pool->name, route->key);
}

void check_routes(struct check *check)
{
    AUTO_FREE char *path = provider_file(check->config);
    struct outcome error;
    struct provider_rules *rules = provider_rules_open(path, &error);

    if (rules == NULL) /* that is said elsewhere; deliveries use ours alone then */
        rules = provider_rules_open(NULL, &error);
    for (size_t i = 0; i < check->config->pool_count; i++) {
        const struct config_pool *pool = &check->config->pools[i];
        for (size_t k = 0; k < pool->route_count; k++)
            if (pool->strategy == STRATEGY_BY_PROVIDER)
                look_provider(check, pool, &pool->routes[k], rules);
            else
                look_domain(check, pool, &pool->routes[k]);
    }
    provider_rules_close(rules);
}
