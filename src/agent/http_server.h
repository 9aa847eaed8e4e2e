/*
 * http_server: GET /health, GET /metrics and POST /api/v1/tpsp/test/custom-smtp on the configured address
 * (data/openapi.yaml).
 *
 * Hardened: a bounded number of connections, each with a bounded life, header and body, whatever the other
 * end does. All runs in one thread of libmicrohttpd and reads the board only; the connectivity test, which
 * takes time, runs in a thread of its own, one at a time.
 */
#ifndef SENDPOST_AGENT_HTTP_SERVER_H
#define SENDPOST_AGENT_HTTP_SERVER_H

#include "agent/board.h"
#include "config/config.h"

struct http_server;

/* NULL with *error_r set when the address cannot be bound. config->listen is not NULL; both outlive it. */
struct http_server *http_server_start(const struct config *config, struct board *board,
                                      struct outcome *error_r) __attribute__((nonnull));
void http_server_stop(struct http_server *http); /* NULL is fine */

/* End connections that have lived too long; call it every second or so. NULL is fine. */
void http_server_tick(struct http_server *http);

#endif
