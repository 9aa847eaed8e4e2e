/*
 * chores: the thread for what has to be done in time and hurries nobody: OAuth tokens are renewed before a
 * delivery has to wait for them, and the lists that are SendPost's, too, are kept the same (sendpost/sync.h).
 * It tells the board how each of them is. Has its own connections, and for tokens its own configuration: the
 * one on disk, as deliveries do.
 */
#ifndef SENDPOST_AGENT_CHORES_H
#define SENDPOST_AGENT_CHORES_H

#include "agent/board.h"
#include "config/config.h"

struct chores;

/* NULL when there is nothing to do, or the thread cannot be made (said in the log). config and board outlive
 * it. */
struct chores *chores_start(const struct config *config, struct board *board) __attribute__((nonnull));

/* Ends a request under way within seconds, and joins the thread. NULL is fine. */
void chores_stop(struct chores *chores);

#endif
