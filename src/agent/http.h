/*
 * http: GET /health, GET /metrics and POST /api/v1/tpsp/test/custom-smtp on the configured address (CONTRACT section 6).
 *
 * Hardened: a bounded number of connections, each with a bounded life, header and body, whatever the other end does. All
 * runs in one thread of libmicrohttpd and reads the board only; the connectivity test, which takes time, runs in a
 * thread of its own, one at a time.
 */
#ifndef SENDPOST_HTTP_H
#define SENDPOST_HTTP_H

#include "agent/board.h"
#include "base/config.h"

struct http;

/* NULL with *error_r set when the address cannot be bound. config->listen is not NULL; both outlive it. */
struct http *http_start(const struct config *config, struct board *board, struct outcome *error_r)
    __attribute__((nonnull));
void http_stop(struct http *http); /* NULL is fine */

/* End connections that have lived too long; call it every second or so. NULL is fine. */
void http_tick(struct http *http);

#endif
