/*
 * circuit: whether it is worth asking the server of a cluster now. One word that all processes of a host
 * share (cluster_shared.circuit): who fails opens it for all, one at a time probes, and success closes it.
 */
#ifndef SENDPOST_CLUSTER_CIRCUIT_H
#define SENDPOST_CLUSTER_CIRCUIT_H

#include "cluster/cluster.h"

enum circuit_state {
    CIRCUIT_CLOSED,
    CIRCUIT_PROBE, /* it is this caller who asks; nobody else does meanwhile */
    CIRCUIT_OPEN,
};

/* now_ms: clock_monotonic_ms(). */
enum circuit_state circuit_ask(struct cluster_shared *shared, int64_t now_ms) __attribute__((nonnull));
void circuit_failed(struct cluster_shared *shared, int64_t now_ms) __attribute__((nonnull));
void circuit_works(struct cluster_shared *shared) __attribute__((nonnull));

#endif
