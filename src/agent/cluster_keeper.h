/*
 * cluster_keeper: the thread that keeps this host a member of its cluster: once a second it looks whether the
 * server wants to hear what the host knows (policy/admission.h), several times a second it exchanges changes
 * of the suppression list (policy/suppression_share.h), and it tells the board, and the other hosts, how the
 * host is. Has its own connections to store and server.
 */
#ifndef SENDPOST_AGENT_CLUSTER_KEEPER_H
#define SENDPOST_AGENT_CLUSTER_KEEPER_H

#include "agent/board.h"
#include "config/config.h"

struct cluster_keeper;

/* NULL with *error_r set on failure. config->cluster.server_count > 0; config and board outlive it. */
struct cluster_keeper *cluster_keeper_start(const struct config *config, struct board *board,
                                            struct outcome *error_r) __attribute__((nonnull));

/* Joins the thread, within seconds. NULL is fine. */
void cluster_keeper_stop(struct cluster_keeper *keeper);

#endif
