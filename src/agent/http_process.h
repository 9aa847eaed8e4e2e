/*
 * http_process: the agent's HTTP, in processes of its own.
 *
 * Why not a thread: here are all bytes that strangers may send, and the page's questions to the store. What a
 * client can make of them, a crash, memory without end, a thread that turns in a circle, ends in a process
 * that neither log nor events depend on. It shares the board with the agent and nothing else, and asks the
 * store over a connection that can only read.
 *
 * Why not a program: the configuration is read already, the secrets of the command line with it. So it is
 * forked, before the agent has a second thread or an open store. A keeper, which does nothing else, binds the
 * address, tries again while somebody else has it, and forks the server that answers; it does so again when
 * that has died. The keeper ends with the agent, the server with the keeper, whatever ends them.
 */
#ifndef SENDPOST_AGENT_HTTP_PROCESS_H
#define SENDPOST_AGENT_HTTP_PROCESS_H

#include "agent/board.h"
#include "config/config.h"

struct http_process;

/* config->listen is not NULL. NULL: it cannot be started, which is logged. Call it with one thread. */
struct http_process *http_process_start(const struct config *config, struct board *board)
    __attribute__((nonnull));

/* The agent is up: connections are taken from now on. NULL is fine. */
void http_process_listen(struct http_process *process);

void http_process_stop(struct http_process *process); /* NULL is fine */

#endif
