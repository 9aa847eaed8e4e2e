/*
 * http_listen: the socket that HTTP is served on: ADDRESS:PORT, or unix:PATH for a proxy.
 */
#ifndef SENDPOST_AGENT_HTTP_LISTEN_H
#define SENDPOST_AGENT_HTTP_LISTEN_H

#include "base/outcome.h"

/*
 * A listening socket; -1 with *error_r set (4.3.5). A Unix socket gets mode 0660; one that a process which is
 * no more has left is replaced, and nothing else is ever removed.
 */
int http_listen_at(const char *listen_on, struct outcome *error_r) __attribute__((nonnull));

/* The file of a Unix socket goes. */
void http_listen_end(const char *listen_on) __attribute__((nonnull));

#endif
