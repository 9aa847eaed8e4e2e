#include "policy/route.h"

#include <string.h>

bool route_covers(const char *domain, const char *name)
{
    size_t length = strlen(name), end = strlen(domain);

    return length >= end && strcmp(name + length - end, domain) == 0 &&
           (length == end || name[length - end - 1] == '.');
}

static bool fits(const struct config_pool *pool, const struct config_route *route,
                 const struct route_facts *facts)
{
    if (pool->strategy == STRATEGY_BY_SENDER_DOMAIN)
        return route_covers(route->key, facts->sender_domain);
    return strcmp(route->key, provider_category_name(facts->provider)) == 0;
}

const struct config_route *route_find(const struct config_pool *pool, const struct route_facts *facts)
{
    const struct config_route *best = NULL, *otherwise = NULL;

    for (size_t i = 0; i < pool->route_count; i++) {
        const struct config_route *route = &pool->routes[i];
        if (strcmp(route->key, "default") == 0)
            otherwise = route;
        else if (fits(pool, route, facts) && (best == NULL || strlen(route->key) > strlen(best->key)))
            best = route;
    }
    return best != NULL ? best : otherwise;
}
