#include "policy/pool_turn.h"

#include <stdatomic.h>
#include <string.h>

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A step that visits each of total places once before it comes back; near the golden section it mixes them
 * well. */
static uint64_t stride(uint64_t total)
{
    uint64_t step = (uint64_t)((double)total * 0.6180339887498949);

    while (greatest_common_divisor(step, total) != 1)
        step++;
    return step;
}

static uint64_t weight_of(const struct config_pool *pool, size_t member)
{
    return pool->strategy == STRATEGY_WEIGHTED ? pool->members[member].weight : 1;
}

/* Of order[from…] the one whose turn it is comes to order[from]; *turn becomes the number of its turns so
 * far. */
static void choose(const struct config_pool *pool, size_t from, uint64_t *turn, size_t *order)
{
    uint64_t total = 0;

    for (size_t i = from; i < pool->member_count; i++)
        total += weight_of(pool, order[i]);
    if (total == 0)
        return;
    uint64_t at = (uint64_t)((unsigned __int128)(*turn % total) * stride(total) % total);
    for (size_t i = from; i < pool->member_count; i++) {
        uint64_t weight = weight_of(pool, order[i]);
        if (at >= weight) {
            at -= weight;
            continue;
        }
        size_t chosen = order[i];
        memmove(&order[from + 1], &order[from], (i - from) * sizeof order[0]);
        order[from] = chosen;
        *turn = *turn / total * weight + at; /* by these numbers the rest is shared out, should it fail */
        return;
    }
}

static bool takes_turns(const struct config_pool *pool)
{
    return pool->strategy == STRATEGY_ROUND_ROBIN || pool->strategy == STRATEGY_WEIGHTED;
}

void pool_order(const struct config_pool *pool, const struct route_facts *facts, uint64_t turn,
                size_t *order_r)
{
    const struct config_route *route = route_find(pool, facts);

    for (size_t i = 0; i < pool->member_count; i++)
        order_r[i] = i;
    if (route != NULL) {
        memmove(&order_r[1], &order_r[0], route->member * sizeof order_r[0]);
        order_r[0] = route->member;
    }
    for (size_t i = 0; takes_turns(pool) && i + 1 < pool->member_count; i++)
        choose(pool, i, &turn, order_r);
}

static void set_turns_key(struct rate_key *key_r, const struct config_pool *pool)
{
    rate_key_set(key_r, pool->name, "turns", 0);
}

void pool_peek_order(struct rate_table *table, const struct config_pool *pool,
                     const struct route_facts *facts, size_t *order_r)
{
    const struct rate_entry *entry = NULL;
    struct outcome ignored;
    struct rate_key key;

    set_turns_key(&key, pool);
    if (takes_turns(pool) && rate_table_ready(table, rate_table_now(table), &ignored))
        entry = rate_table_find(table, &key);
    pool_order(pool, facts, entry != NULL ? (uint64_t)atomic_load(&entry->words[0]) : 0, order_r);
}

bool pool_turn_take(struct rate_table *table, const struct config_pool *pool, uint64_t *turn_r,
                    struct outcome *error_r)
{
    *turn_r = 0;
    if (!takes_turns(pool) || pool->member_count < 2)
        return true;
    struct rate_key key;
    set_turns_key(&key, pool);
    if (!rate_table_ready(table, rate_table_now(table), error_r))
        return false;
    struct rate_entry *entry = rate_table_obtain(table, &key, error_r);
    if (entry == NULL)
        return false;
    *turn_r = (uint64_t)atomic_fetch_add(&entry->words[0], 1);
    return true;
}
