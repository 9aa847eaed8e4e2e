/*
 * http_server: what the agent answers (data/openapi.yaml): /health, /metrics, the connectivity test, and the
 * status page with what it loads (page.h).
 *
 * Hardened: a bounded number of connections, each with a bounded life, header and body, whatever the other
 * end does; http_guard.h says which requests are answered at all. What names addresses is shown to who has
 * logged in (base/page_login.h), or came over a Unix socket, whose proxy has a login of its own. It lives as
 * long as its process (http_process.h).
 */
#ifndef SENDPOST_AGENT_HTTP_SERVER_H
#define SENDPOST_AGENT_HTTP_SERVER_H

#include "agent/board.h"
#include "config/config.h"

struct http_server;

/* descriptor: listens. NULL with *error_r set when there is no memory or no thread. */
struct http_server *http_server_start(const struct config *config, struct board *board, int descriptor,
                                      struct outcome *error_r) __attribute__((nonnull));

/* End connections that have lived too long; call it every second or so. */
void http_server_tick(struct http_server *http) __attribute__((nonnull));

#endif
