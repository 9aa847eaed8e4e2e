/*
 * lease: work that one host of a cluster does for all. Who holds it keeps it as long as it renews it in time;
 * else another host gets it. With the server away nobody holds it. Two may think so for a moment, when a
 * holder was late or the server has lost its data: the work has to bear that.
 */
#ifndef SENDPOST_CLUSTER_LEASE_H
#define SENDPOST_CLUSTER_LEASE_H

#include "cluster/cluster.h"

#define LEASE_NAME_SIZE 64

struct lease {
    const char *what; /* the work: a word */
    const char *id;   /* of this host: a word */
    const char *name; /* of this host, for people */
    int64_t life_ms;  /* from one renewal on */
};

/* Take or renew it. True: it is ours. holder_r: the name of who has it; "" where nobody can tell. */
bool lease_renew(struct cluster *cluster, const struct config_cluster *config, const struct lease *lease,
                 int64_t deadline_ms, char holder_r[LEASE_NAME_SIZE]) __attribute__((nonnull));

#endif
