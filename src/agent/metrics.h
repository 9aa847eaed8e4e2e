/*
 * metrics: the board as texts: Prometheus exposition format 0.0.4 and the JSON of /health.
 */
#ifndef SENDPOST_AGENT_METRICS_H
#define SENDPOST_AGENT_METRICS_H

#include <stdio.h>

#include "agent/board.h"

/* The caller frees. */
char *metrics_prometheus(const struct board_facts *facts, const struct config *config)
    __attribute__((nonnull, returns_nonnull));
/* healthy_r: 200 or 503. */
char *metrics_health(const struct board_facts *facts, const struct config *config, bool *healthy_r)
    __attribute__((nonnull, returns_nonnull));

/* Seconds between the last line read and now, while there is something to read; else 0. */
double metrics_lag_seconds(const struct board_facts *facts) __attribute__((nonnull));

#endif
