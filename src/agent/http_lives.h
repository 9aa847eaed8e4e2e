/*
 * http_lives: how long each connection may last, whatever its other end does: libmicrohttpd's own timeout
 * starts anew with each byte. Safe in any thread.
 */
#ifndef SENDPOST_AGENT_HTTP_LIVES_H
#define SENDPOST_AGENT_HTTP_LIVES_H

#include <stdint.h>

#define HTTP_CONNECTIONS 32
#define HTTP_LIFE_MS 30000

struct http_lives;

struct http_lives *http_lives_new(void) __attribute__((returns_nonnull));

void http_lives_begin(struct http_lives *lives, int descriptor) __attribute__((nonnull));
void http_lives_end(struct http_lives *lives, int descriptor) __attribute__((nonnull));

/* From now on it has that long, from now. */
void http_lives_grant(struct http_lives *lives, int descriptor, int64_t life_ms) __attribute__((nonnull));

/* Ends those whose time is over. */
void http_lives_tick(struct http_lives *lives) __attribute__((nonnull));

#endif
