/*
 * metrics: the board as text in the Prometheus exposition format 0.0.4.
 */
#ifndef SENDPOST_AGENT_METRICS_H
#define SENDPOST_AGENT_METRICS_H

#include "agent/board.h"
#include "agent/page_queue.h"

/* queue: Postfix's, NULL where nobody has asked. The caller frees. */
char *metrics_prometheus(const struct board_facts *facts, const struct config *config,
                         const struct page_queue *queue) __attribute__((nonnull(1, 2), returns_nonnull));

#endif
