/*
 * pool_turn: in which order the members of a pool are tried. Turns of round-robin and weighted pools are
 * counted in the rate table, for all processes together.
 */
#ifndef SENDPOST_POLICY_POOL_TURN_H
#define SENDPOST_POLICY_POOL_TURN_H

#include "config/config.h"
#include "policy/rate_table.h"
#include "policy/route.h"

/* The number of the next turn, which is taken; 0 where the pool takes none. False with *error_r set. */
bool pool_turn_take(struct rate_table *table, const struct config_pool *pool, uint64_t *turn_r,
                    struct outcome *error_r) __attribute__((nonnull));

/* The members in the order in which turn number turn tries them: indices into pool->members, member_count of
 * them. */
void pool_order(const struct config_pool *pool, const struct route_facts *facts, uint64_t turn,
                size_t *order_r) __attribute__((nonnull));

/* For people: the order of the message that comes next; its turn is not taken. */
void pool_peek_order(struct rate_table *table, const struct config_pool *pool,
                     const struct route_facts *facts, size_t *order_r) __attribute__((nonnull));

#endif
