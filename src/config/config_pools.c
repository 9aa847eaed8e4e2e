/* Pools of TPSPs, and who in them comes first for whom. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"
#include "base/xalloc.h"
#include "config/config_schema.h"

static const char *const strategy[] = {"failover",    "round-robin",      "weighted",
                                       "by-provider", "by-sender-domain", NULL};

struct routes_of {
    const struct config *config;
    struct config_pool *pool;
};

/* --- members --------------------------------------------------------------------------------- */

static const char *tpsp_name(const void *context, size_t index)
{
    return ((const struct config *)context)->tpsps[index].name;
}

static const char *pool_name(const void *context, size_t index)
{
    return ((const struct config *)context)->pools[index].name;
}

static bool fail_name(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      const char *what, const char *text, const char *nearest)
{
    if (nearest != NULL)
        return config_fail(reader, place, node, "there is no %s \"%.60s\"; did you mean \"%s\"?", what, text,
                           nearest);
    return config_fail(reader, place, node, "there is no %s \"%.60s\"; define it, or correct the name", what,
                       text);
}

/* The name of a tpsp becomes its index. */
static CONFIG_READER(read_member_tpsp)
{
    const struct config *config = key->detail;
    struct config_member *member = field;
    const char *text = config_yaml_text(reader, place, node);

    if (text == NULL)
        return false;
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (strcmp(config->tpsps[i].name, text) == 0) {
            member->tpsp = i;
            return true;
        }
    return fail_name(reader, place, node, "tpsp", text,
                     nearest_name(text, tpsp_name, config, config->tpsp_count));
}

static CONFIG_READER(read_member)
{
    const struct config *config = key->detail;
    struct config_pool *pool = field;
    const struct config_key keys[] = {
        {"tpsp", .read = read_member_tpsp, .detail = config, .needed = "the name of one of the tpsps"},
        {"weight", .read = config_read_count, .offset = offsetof(struct config_member, weight), .min = 1,
         .max = 1000000, .default_text = "1"},
        {.name = NULL},
    };
    struct config_member *member = &pool->members[pool->member_count++];

    member->weight = 1;
    /* a bare name is a member of weight 1 */
    if (node->type == YAML_SCALAR_NODE ? !read_member_tpsp(reader, place, node, &keys[0], member)
                                       : !config_yaml_mapping(reader, place, node, keys, member))
        return false;
    for (size_t i = 0; i + 1 < pool->member_count; i++)
        if (pool->members[i].tpsp == member->tpsp)
            return config_fail(reader, place, node, "\"%s\" is a member already; give it a weight instead",
                               config->tpsps[member->tpsp].name);
    return true;
}

static CONFIG_READER(read_members)
{
    struct config_pool *pool = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count == 0)
        return config_fail(reader, place, node, "is empty; name at least one of the tpsps");
    pool->members = xcalloc(count, sizeof pool->members[0]);
    return config_yaml_each(reader, place, node, read_member, key, pool, 0);
}

/* --- routes ---------------------------------------------------------------------------------- */

static const char *member_name(const void *context, size_t index)
{
    const struct routes_of *walk = context;

    return walk->config->tpsps[walk->pool->members[index].tpsp].name;
}

/* The name of a member becomes its index. */
static CONFIG_READER(read_route)
{
    const struct routes_of *walk = key->detail;
    struct config_route *route = field;
    const char *text = config_yaml_text(reader, place, node);

    if (text == NULL)
        return false;
    for (size_t i = 0; i < walk->pool->member_count; i++)
        if (strcmp(member_name(walk, i), text) == 0) {
            route->member = i;
            return true;
        }
    const char *nearest = nearest_name(text, member_name, walk, walk->pool->member_count);
    if (nearest != NULL)
        return config_fail(reader, place, node, "the pool has no member \"%.60s\"; did you mean \"%s\"?",
                           text, nearest);
    return config_fail(reader, place, node, "the pool has no member \"%.60s\"; add it to members", text);
}

static void add_route(struct config_pool *pool, const struct config_route *route)
{
    pool->routes = xrealloc(pool->routes, (pool->route_count + 1) * sizeof pool->routes[0]);
    pool->routes[pool->route_count++] = *route;
}

static bool read_provider_routes(struct config_reader *reader, const struct config_place *place,
                                 const yaml_node_t *node, const struct routes_of *walk)
{
    struct config_key rows[PROVIDER_COUNT + 1] = {{.name = NULL}};
    struct config_route routes[PROVIDER_COUNT] = {{.key = NULL}};

    for (size_t i = 0; i < PROVIDER_COUNT; i++)
        rows[i] = (struct config_key){.name = provider_category_name((enum provider_category)i),
                                      .read = read_route,
                                      .detail = walk,
                                      .offset = i * sizeof routes[0]};
    if (!config_yaml_mapping(reader, place, node, rows, routes))
        return false;
    for (size_t i = 0; i < PROVIDER_COUNT; i++)
        if (config_yaml_find(reader, node, rows[i].name) != NULL) {
            routes[i].key = xstrdup(rows[i].name);
            add_route(walk->pool, &routes[i]);
        }
    return true;
}

/* In lower case, without a final dot, as domains of messages are compared. */
static void fold(char *domain)
{
    size_t length = strlen(domain);

    if (length > 0 && domain[length - 1] == '.')
        domain[length - 1] = '\0';
    for (; *domain != '\0'; domain++)
        *domain = (char)tolower((unsigned char)*domain);
}

static bool read_domain_route(struct config_reader *reader, const struct config_place *place,
                              const yaml_node_t *name, const yaml_node_t *value, const struct routes_of *walk)
{
    const struct config_key key = {.detail = walk};
    const char *text = config_yaml_text(reader, place, name);
    struct config_route route = {.key = NULL};

    if (text == NULL)
        return false;
    const struct config_place below = {.parent = place, .key = text};
    if (strcmp(text, "default") == 0)
        route.key = xstrdup(text);
    else if (!config_read_domain(reader, &below, name, &key, &route.key))
        return false;
    fold(route.key);
    add_route(walk->pool, &route);
    for (size_t i = 0; i + 1 < walk->pool->route_count; i++)
        if (strcmp(walk->pool->routes[i].key, route.key) == 0)
            return config_fail(reader, &below, name, "is given twice; remove one");
    return read_route(reader, &below, value, &key, &walk->pool->routes[walk->pool->route_count - 1]);
}

static bool read_routes(struct config_reader *reader, const struct config_place *place,
                        const yaml_node_t *pool_node, struct config *config, struct config_pool *pool)
{
    const struct routes_of walk = {.config = config, .pool = pool};
    const struct config_place below = {.parent = place, .key = "routes"};
    const yaml_node_t *node = config_yaml_find(reader, pool_node, "routes");
    bool routed = pool->strategy == STRATEGY_BY_PROVIDER || pool->strategy == STRATEGY_BY_SENDER_DOMAIN;
    const yaml_node_t *name, *value;
    size_t count;

    if (node == NULL && routed)
        return config_fail_key(reader, place, pool_node, "routes",
                               pool->strategy == STRATEGY_BY_PROVIDER
                                   ? "is missing; say who is first for whom: {gmail: MEMBER, default: MEMBER}"
                                   : "is missing; say who is first for whom: {example.com: MEMBER, default: "
                                     "MEMBER}");
    if (node == NULL)
        return true;
    if (!routed)
        return config_fail(reader, &below, node,
                           "is of no use with strategy: %s; say by-provider or by-sender-domain",
                           strategy[pool->strategy]);
    if (!config_yaml_pairs(reader, &below, node, &count))
        return false;
    if (count == 0)
        return config_fail(reader, &below, node, "is empty; name a member for one of them, or for default");
    if (pool->strategy == STRATEGY_BY_PROVIDER)
        return read_provider_routes(reader, &below, node, &walk);
    for (size_t i = 0; i < count; i++) {
        config_yaml_pair(reader, node, i, &name, &value);
        if (!read_domain_route(reader, &below, name, value, &walk))
            return false;
    }
    return true;
}

/* --- pools ----------------------------------------------------------------------------------- */

static CONFIG_READER(read_pool)
{
    struct config *config = field;
    const struct config_key keys[] = {
        {"name", .read = config_read_name, .offset = offsetof(struct config_pool, name),
         .needed = "it a name, the nexthop in Postfix's transport map"},
        {"strategy", .read = config_read_word, .offset = offsetof(struct config_pool, strategy),
         .detail = strategy, .default_text = "failover"},
        {"members", .read = read_members, .detail = config, .needed = "a list of tpsps: [{tpsp: primary}]"},
        {"routes", .read = config_read_later},
        {"overflow", .read = config_read_later},
        {.name = NULL},
    };
    struct config_pool *pool = &config->pools[config->pool_count++];

    (void)key;
    pool->overflow = -1;
    if (!config_yaml_mapping(reader, place, node, keys, pool))
        return false;
    for (size_t i = 0; i + 1 < config->pool_count; i++)
        if (strcasecmp(config->pools[i].name, pool->name) == 0)
            return config_fail_key(reader, place, node, "name",
                                   "is the name of another pool already; choose another one");
    return read_routes(reader, place, node, config, pool);
}

/* Once every pool is known by name. */
static CONFIG_READER(read_overflow)
{
    struct config *config = field;
    size_t index = place->index;
    const struct config_place below = {.parent = place, .key = "overflow"};
    const yaml_node_t *value = config_yaml_find(reader, node, "overflow");
    const char *text = value == NULL ? NULL : config_yaml_text(reader, &below, value);

    (void)key;
    if (value == NULL || text == NULL)
        return value == NULL;
    size_t to = 0;
    while (to < config->pool_count && strcasecmp(config->pools[to].name, text) != 0)
        to++;
    if (to == config->pool_count)
        return fail_name(reader, &below, value, "pool", text,
                         nearest_name(text, pool_name, config, config->pool_count));
    config->pools[index].overflow = (ptrdiff_t)to;
    /* only a chain that comes back here can have become a cycle by this link */
    for (ptrdiff_t at = (ptrdiff_t)to; at >= 0; at = config->pools[at].overflow)
        if (at == (ptrdiff_t)index)
            return config_fail(reader, &below, value,
                               "leads back to this pool in a circle; leave it out in one of them");
    return true;
}

CONFIG_READER(config_read_pools)
{
    struct config *config = field;
    size_t count;

    (void)key;
    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count == 0)
        return config_fail(reader, place, node, "is empty; remove it, and all tpsps form the pool default");
    config->pools = xcalloc(count, sizeof config->pools[0]);
    return config_yaml_each(reader, place, node, read_pool, key, config, 0) &&
           config_yaml_each(reader, place, node, read_overflow, key, config, 0);
}
