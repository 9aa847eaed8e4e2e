/*
 * admission: whether a delivery may go to its TPSP now, under all the TPSP's limits: those that this host
 * keeps alone (policy/rate_limit.h), or, in a cluster, those that all hosts keep together
 * (cluster/cluster.h).
 *
 * In a cluster the server decides, and this host notes what it was given in its own table, in lanes of the
 * same meaning
 * ("cluster …"): that is what it brings when a server knows less than it should. A slot counts only if it was
 * noted in the epoch in which it was given; else it is as if it had never been given.
 *
 * Where the server is away, when-away decides: hold refuses everything (a deferral, CAUSE_RATE); share keeps
 * the limits times share on this host alone, in lanes of their own ("share …"), so that never more than that
 * is added to the limit.
 */
#ifndef SENDPOST_POLICY_ADMISSION_H
#define SENDPOST_POLICY_ADMISSION_H

#include "cluster/cluster.h"
#include "policy/connections.h"
#include "policy/rate_limit.h"

struct admission_gate {
    const struct config *config;
    struct rate_table *table;
    struct cluster *cluster; /* NULL: this host alone */
    /* for those who contact TPSPs: the connections that they may have; NULL: for all others */
    struct connections_desk *leases;
    int64_t host; /* with leases and a cluster: connections_share_host() */
};

/* What a delivery was given. */
struct admission {
    bool by_cluster;
    struct rate_grant grant; /* else */
    size_t count;
    struct cluster_limit limits[RATE_SET_MAX];
    struct cluster_slot slots[RATE_SET_MAX];
    bool better_not_kept; /* the connection: other hosts wait for one */
};

#define ADMISSION_NEVER INT64_MAX /* nobody can say when */

/*
 * One slot of every limit of the set, or none; in a cluster the connection that gate->leases holds is counted
 * over all hosts, and let go of where there is none for it (RATE_REFUSED). RATE_REFUSED: *why_r is the
 * deferral, *next_r (the table's clock) says when it is worth asking again, ADMISSION_NEVER that waiting for
 * it is not. RATE_TROUBLE: *why_r says what (CAUSE_OURS).
 */
enum rate_answer admission_take(const struct admission_gate *gate, struct rate_set *set,
                                struct admission *admission_r, int64_t *next_r, struct outcome *why_r)
    __attribute__((nonnull));

/* What admission_take() begins with: the set has what is slowed down and warmed up now as well. False: it is
 * suspended (suspension_bars()) or paused (slow_down_apply()). */
bool admission_apply(const struct admission_gate *gate, struct rate_set *set, int64_t *until_r,
                     struct outcome *why_r) __attribute__((nonnull));

/* The TPSP was never reached. Gives back once, then no more. */
void admission_give_back(const struct admission_gate *gate, struct admission *admission)
    __attribute__((nonnull));

/* For sendpostctl: how many messages would pass now under this limit, and when the next one would (the
 * table's clock). */
unsigned admission_peek(const struct admission_gate *gate, struct rate_set *set, size_t index,
                        int64_t *next_r) __attribute__((nonnull));

/* Forget all admissions of a set, on the server, too. False with *error_r set where that is away. */
bool admission_reset(const struct admission_gate *gate, struct rate_set *set, struct outcome *error_r)
    __attribute__((nonnull));

/* Keep the cluster informed: what this host knows is brought if a new epoch asks for it. For the agent, every
 * second or so, so that a host without mail is heard in time, too. False: the server is away
 * (cluster_why_away()). */
bool admission_tend(const struct admission_gate *gate) __attribute__((nonnull));

/* The words that the processes of this host share about the cluster; NULL with *error_r set. They move
 * whenever rate_table_ready() finds another file: not to be kept. gate->cluster is attached to them, so that
 * this is called before each question to it. */
struct cluster_shared *admission_shared(const struct admission_gate *gate, struct outcome *error_r)
    __attribute__((nonnull));

#endif
