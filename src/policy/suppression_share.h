/*
 * suppression_share: the suppression list of a cluster: every host has the whole list in its store, so that
 * no delivery waits for the network, and the hosts tell each other of changes through the server
 * (cluster/suppression.lua).
 *
 * A round sends what was changed here since the last one, and takes in what others changed: some milliseconds
 * when there is nothing. While the server is away changes stay in the journal of the store. A host that is
 * new, that was away for longer than the stream remembers, or that meets another server (started anew, failed
 * over, emptied) copies the whole list and sends all that it knows: nothing is lost with the server.
 */
#ifndef SENDPOST_POLICY_SUPPRESSION_SHARE_H
#define SENDPOST_POLICY_SUPPRESSION_SHARE_H

#include "cluster/cluster.h"
#include "policy/suppression_intake.h"

/* In the store: when the list was last that of the server, give or take SUPPRESSION_SHARE_NOTED_MS. */
#define SUPPRESSION_SHARE_KEY "cluster.suppression.complete"
#define SUPPRESSION_SHARE_NOTED_MS 30000
#define SUPPRESSION_SHARE_OLD_MS 300000 /* then it is worth a word */

struct suppression_share {
    struct cluster *cluster;
    const struct config_cluster *config;
    struct store *store;
    char host[SUPPRESSION_ORIGIN_SIZE]; /* the origin of our own changes: one word */
    uint64_t sent, taken;               /* changes, since the start */
    /* from here on its own; of one server, which is known by its run id */
    char server[48];
    struct suppression_intake intake;
    char gathered[40]; /* the change in the stream up to which the intake goes */
    /* a copy of the whole list: how far it is under way ("": not begun), and what stood in the stream before
     */
    char cursor[32], copy_behind[40];
    bool copied; /* to its end: what is left is in the intake */
};

/*
 * Work until all is exchanged or deadline_ms (clock_monotonic_ms()) is over. *complete_r: nothing is left to
 * do. False with *error_r set when the server is away or the store in trouble.
 */
bool suppression_share_round(struct suppression_share *share, int64_t deadline_ms, bool *complete_r,
                             struct outcome *error_r) __attribute__((nonnull));

void suppression_share_end(struct suppression_share *share) __attribute__((nonnull));

#endif
