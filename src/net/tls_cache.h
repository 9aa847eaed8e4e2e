/*
 * tls_cache: TLS sessions kept in files between processes, so that the next process resumes the session with
 * the same server and saves the certificate chain and its verification.
 *
 * One file a key in STATE_DIR/tls-sessions, mode 0600: it holds key material. Replaced atomically; a damaged
 * file, one that others could have written, or one that is too old is removed and ignored. Nothing here is
 * ever an error to a delivery: without a session the handshake is a full one.
 */
#ifndef SENDPOST_NET_TLS_CACHE_H
#define SENDPOST_NET_TLS_CACHE_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "config/config.h"

/* Whom to talk TLS with, and how. Plain pointers: the caller's strings stay until the call returns. */
struct tls_peer {
    /* name, IPv4 address or IPv6 address without brackets: what the certificate must be for */
    const char *host;
    uint16_t port;
    const char *mode; /* "starttls", "tls", "https": sessions of one are not resumed in another */
    const struct config_tls *settings;
};

#define TLS_CACHE_KEY_SIZE 65 /* hexadecimal SHA-256 and its end */
/* Resumption can chain from ticket to ticket: after this long the certificate is verified anew. */
#define TLS_CACHE_VERIFIED_MAX_S (12 * 3600)

struct tls_cached {
    SSL_SESSION *session; /* NULL: none */
    int64_t verified_s;   /* time() of the full handshake that it goes back to */
    int64_t written_s;    /* time() at which the file was written */
};

/* The key covers everything that decides what was verified: host, port, TLS mode, verification and the state
 * of the CA files. */
void tls_cache_key(char key_r[TLS_CACHE_KEY_SIZE], const struct tls_peer *peer) __attribute__((nonnull));

struct tls_cached tls_cache_load(const char *directory, const char *key) __attribute__((nonnull));

void tls_cache_store(const char *directory, const char *key, SSL_SESSION *session, int64_t verified_s)
    __attribute__((nonnull));

void tls_cache_forget(const char *directory, const char *key) __attribute__((nonnull));

#endif
