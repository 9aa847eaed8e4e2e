/*
 * metrics_deliveries: the metrics of what deliverers have counted (policy/counters.h), and of Postfix's
 * queue.
 */
#ifndef SENDPOST_AGENT_METRICS_DELIVERIES_H
#define SENDPOST_AGENT_METRICS_DELIVERIES_H

#include <stdio.h>

#include "agent/page_queue.h"
#include "config/config.h"

/* queue: NULL or not known: nothing is said of it. */
void metrics_deliveries(FILE *out, const struct config *config, const struct page_queue *queue)
    __attribute__((nonnull(1, 2)));

/* A label's value, escaped (Prometheus exposition format 0.0.4). */
void metrics_label(FILE *out, const char *value) __attribute__((nonnull));

#endif
