/*
 * http_guard: whether a request may be answered, by who it says that it is for and where it says that it
 * comes from.
 *
 * Any page that somebody's browser shows can make it send requests to 127.0.0.1, and by changing what its own
 * name resolves to (DNS rebinding) can read the answers. Such a request names the page's host as Host, or the
 * page as Origin (RFC 9110 section 7.2, RFC 6454 section 7). So:
 *
 *   on a loopback address   every request whose Host is neither a loopback address nor "localhost" is refused
 *   elsewhere               all but /health and /metrics ask for a Host that no foreign DNS can be behind: an
 * IP address, "localhost", or a name of this machine on a Unix socket        Host is the proxy's matter
 *   everywhere              an Origin that is not the Host itself is refused
 *
 * No Host at all (HTTP/1.0) comes from no browser. All functions are safe in any thread.
 */
#ifndef SENDPOST_AGENT_HTTP_GUARD_H
#define SENDPOST_AGENT_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

enum http_place { HTTP_ON_LOOPBACK, HTTP_ON_NETWORK, HTTP_ON_UNIX };

/* listen: as in the configuration. */
enum http_place http_guard_place(const char *listen) __attribute__((nonnull));

/* "/run/page" of "unix:/run/page"; NULL: it is no Unix socket. */
const char *http_guard_unix_path(const char *listen) __attribute__((nonnull));

struct http_guard_facts {
    enum http_place place;
    const char *path;
    const char *host, *origin; /* header fields; NULL: none */
    const char *const *names;  /* of this machine, NULL behind the last */
};

/* NULL: it may be answered. Else why not, for the one who asked. */
const char *http_guard_refuses(const struct http_guard_facts *facts) __attribute__((nonnull));

#endif
