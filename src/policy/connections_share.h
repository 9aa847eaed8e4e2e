/*
 * connections_share: max-connections of a TPSP, kept by all hosts of a cluster together.
 *
 * A delivery that holds one of the numbers of its host (connections.h) has the server count it, in the same
 * call that decides about its rates: "HOST NUMBER" is believed to have a connection until a time that no
 * delivery begun by then can outlast (delivery-timeout, and how long a connection is kept), and is renewed
 * with use. So the server never counts less than there are, whoever is cut off from it:
 *
 *   a connection ends               its number is taken off the server first, then let go here
 *   its process is killed           the kernel lets go of the number; who takes it next takes over what the
 *                                   server knows of it, and the agent takes it off within a second
 *                                   (connections_share_sweep()), holding the number meanwhile
 *   its host is gone                its numbers expire, after delivery-timeout and two minutes
 *   the server is away              hold: no connection is begun, and none is kept; share: as many as
 *                                   max-connections times share, at least one
 *   it comes back, another or empty each host brings the numbers that the server had agreed to: a process
 *                                   that only asks holds its number, too (connections_confirm()), and one
 *                                   that was agreed to in an earlier epoch, and noted too late, asks again
 */
#ifndef SENDPOST_POLICY_CONNECTIONS_SHARE_H
#define SENDPOST_POLICY_CONNECTIONS_SHARE_H

#include "policy/admission.h"
#include "store/store.h"

#define CONNECTIONS_HOST_SIZE 20
#define CONNECTIONS_HOST_KEY "host.id" /* in the store */

/* This host's own word, never 0, made once and kept in the store. 0 with *error_r set when it cannot be. */
int64_t connections_share_host(struct store *store, struct outcome *error_r) __attribute__((nonnull));

/* What the server is to count for this delivery; host_r is part of it. False: nothing. */
bool connections_share_ask(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                           struct cluster_shared *shared, char host_r[CONNECTIONS_HOST_SIZE],
                           struct cluster_connection *connection_r) __attribute__((nonnull));

/* The connection has ended: others may have it. */
void connections_share_end(const struct admission_gate *gate, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* The server is away: false when this delivery can have no connection; it holds none then. */
bool connections_share_alone(const struct admission_gate *gate, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* What this host holds, in a new epoch. False: the server is away, or it is another epoch. */
bool connections_share_bring(const struct admission_gate *gate, struct cluster_shared *shared, int64_t epoch,
                             int64_t deadline_ms) __attribute__((nonnull));

/* For the agent: take off the server what nobody here holds any more. count_r: how many connections all
 * hosts have. False: the server is away. */
bool connections_share_sweep(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                             unsigned *count_r) __attribute__((nonnull));

/* For people: how many connections all hosts have, as the server knows. False: it is away. */
bool connections_share_count(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                             unsigned *count_r) __attribute__((nonnull));

#endif
