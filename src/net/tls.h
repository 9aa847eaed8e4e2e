/*
 * tls: TLS 1.2 and 1.3 as a client with OpenSSL: server name indication for names, the certificate verified
 * for the configured name or IP address (RFC 6125, RFC 8314), and sessions resumed through a cache of ticket
 * files.
 *
 * CA certificates come from a hashed directory or from one file, as configured, never from OpenSSL's own
 * default paths: reading the bundle there costs 60 ms of CPU in each short-lived process.
 */
#ifndef SENDPOST_NET_TLS_H
#define SENDPOST_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "net/tls_cache.h"
#include "net/transport.h"

/* Contexts are kept for all peers with the same settings. Belongs to one thread. */
struct tls_contexts;
/* NULL: no cache */
struct tls_contexts *tls_contexts_new(const char *state_dir) __attribute__((returns_nonnull));
void tls_contexts_free(struct tls_contexts *contexts); /* NULL is fine */

enum tls_start {
    TLS_STARTED,
    TLS_FAILED, /* one of the two does not like what the other says or shows */
    TLS_LOST,   /* the connection came to no handshake: status_r says how, as for any other connection */
};

/*
 * Handshake on a connected transport, to its end within deadline_ms. error says why not, in words, what to do
 * included; the transport is then of no further use. *status_r is set for TLS_LOST alone.
 */
enum tls_start tls_start(struct tls_contexts *contexts, struct transport *transport,
                         const struct tls_peer *peer, int64_t deadline_ms, enum transport_status *status_r,
                         char *error, size_t error_size) __attribute__((nonnull));

/* Keep what the server gave us to resume the session later. Failure to do so is no failure. */
void tls_keep_session(struct tls_contexts *contexts, const SSL *ssl, const struct tls_peer *peer)
    __attribute__((nonnull(1, 3)));

/* "TLSv1.3 TLS_AES_256_GCM_SHA384 resumed" */
void tls_summary(const SSL *ssl, char *text, size_t size) __attribute__((nonnull(2)));

/* The summary and the certificate: subject, issuer, names, days left. */
void tls_detail(const SSL *ssl, char *text, size_t size) __attribute__((nonnull(2)));

/* Until when the other side's certificate is good, in clock_realtime_ms(); 0: it showed none. */
int64_t tls_certificate_end_ms(const SSL *ssl) __attribute__((nonnull));

/*
 * The connections of a library that makes its own contexts and SSL objects (libcurl, through
 * CURLOPT_SSL_CTX_FUNCTION): verified, resumed and remembered as ours are. The attachment outlives them all.
 */
struct tls_memory;
struct tls_attachment {
    const struct tls_contexts *contexts;
    struct tls_peer peer;
    char error[384];           /* what was wrong with context or certificate; "": nothing that we saw */
    SSL *ssl;                  /* of the connection that was made last; NULL: it is closed */
    struct tls_memory *memory; /* ours */
};

/* contexts and peer are filled in. False: attachment->error says why. */
bool tls_attach(struct tls_attachment *attachment, SSL_CTX *ctx) __attribute__((nonnull));

#endif
