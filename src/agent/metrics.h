/*
 * metrics: the board as text in the Prometheus exposition format 0.0.4.
 */
#ifndef SENDPOST_AGENT_METRICS_H
#define SENDPOST_AGENT_METRICS_H

#include "agent/board.h"

/* The caller frees. */
char *metrics_prometheus(const struct board_facts *facts, const struct config *config)
    __attribute__((nonnull, returns_nonnull));
#endif
