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

/* now_ms: clock_monotonic_ms(). *seen_r: the word as it stands now, for circuit_failed(). */
enum circuit_state circuit_ask(struct cluster_shared *shared, int64_t now_ms, int64_t *seen_r)
    __attribute__((nonnull));
/* Who was let through has failed. It is counted if the word is still the one that he saw: one stall of the
 * server is one failure, however many deliveries it meets. */
void circuit_failed(struct cluster_shared *shared, int64_t seen, int64_t now_ms) __attribute__((nonnull));
void circuit_works(struct cluster_shared *shared) __attribute__((nonnull));

#endif
