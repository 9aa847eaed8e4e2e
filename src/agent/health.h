/*
 * health: the board as the JSON of /health, and whether all is in order.
 */
#ifndef SENDPOST_AGENT_HEALTH_H
#define SENDPOST_AGENT_HEALTH_H

#include "agent/board.h"

/* healthy_r: 200 or 503. The caller frees. */
char *health_json(const struct board_facts *facts, const struct config *config, bool *healthy_r)
    __attribute__((nonnull, returns_nonnull));

/* What is wrong with the log, the clock, or the cluster, with its remedy; NULL: nothing. The caller frees the
 * first two. */
char *health_log_trouble(const struct board_facts *facts) __attribute__((nonnull));
char *health_clock_trouble(const struct board_facts *facts) __attribute__((nonnull));
const char *health_cluster_trouble(const struct board_cluster *cluster) __attribute__((nonnull));

#endif
