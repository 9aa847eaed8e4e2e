/*
 * transport: one TCP connection, later perhaps under TLS, read and written with deadlines. It never blocks
 * beyond the deadline it is given, however slowly the other side drips: the deadline belongs to the whole
 * step, not to each byte.
 *
 * Deadlines are clock_monotonic_ms() values. SIGPIPE must be blocked or ignored by the caller.
 */
#ifndef SENDPOST_NET_TRANSPORT_H
#define SENDPOST_NET_TRANSPORT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/dns.h"

enum transport_status {
    TRANSPORT_OK,
    TRANSPORT_TIMEOUT,
    TRANSPORT_CLOSED, /* the other side closed or reset the connection */
    TRANSPORT_FAILED, /* the connection failed; transport.error says how */
    TRANSPORT_OURS,   /* this host has no route, network, local port, descriptor or memory for it */
};

struct transport {
    int descriptor; /* -1: not connected */
    SSL *ssl;       /* NULL: plain text */
    char *in;       /* received and not yet consumed: in[in_start, in_end) */
    size_t in_start, in_end;
    uint64_t marked; /* bytes of TLS written up to the mark */
    char error[160]; /* the last failure in words */
};

#define TRANSPORT_IN_SIZE 16384

void transport_init(struct transport *transport) __attribute__((nonnull));

/* One address. TCP_NODELAY is on, the descriptor non-blocking and close-on-exec. */
enum transport_status transport_connect(struct transport *transport, const struct dns_address *address,
                                        int64_t deadline_ms) __attribute__((nonnull));

/* Receive what there is into the empty input buffer, waiting for the first byte. */
enum transport_status transport_fill(struct transport *transport, int64_t deadline_ms)
    __attribute__((nonnull));

/* All of data, or a failure: then how much arrived is unknown, but never its last byte. */
enum transport_status transport_write(struct transport *transport, const char *data, size_t length,
                                      int64_t deadline_ms) __attribute__((nonnull));

/* Whether bytes from the other side are there although nobody asked for them: does not wait. */
bool transport_has_input(struct transport *transport) __attribute__((nonnull));

/* Mark what was written so far, and ask whether the peer's TCP has acknowledged all of that; true where
 * nobody can tell. */
void transport_mark(struct transport *transport) __attribute__((nonnull));
bool transport_mark_acknowledged(const struct transport *transport) __attribute__((nonnull));

/* What a call of OpenSSL on transport->ssl has come to, errno as it left it: waits for what it wants and is
 * TRANSPORT_OK, so that it can be called again, or a failure. */
enum transport_status transport_tls_result(struct transport *transport, int result, int64_t deadline_ms)
    __attribute__((nonnull));

/* Begin no conversation, end none: close, with a TLS close_notify where one can be sent at once. */
void transport_close(struct transport *transport) __attribute__((nonnull));

#endif
