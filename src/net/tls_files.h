/* tls_files: what the configuration names for TLS and lies on disk: CA certificates, client certificate, key.
 */
#ifndef SENDPOST_NET_TLS_FILES_H
#define SENDPOST_NET_TLS_FILES_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* False: error says which file, why, and which key to look at. */
bool tls_files_load(SSL_CTX *ctx, const struct config_tls *settings, char *error, size_t error_size)
    __attribute__((nonnull));

/* OpenSSL's words for an error code. */
const char *tls_files_reason(unsigned long code) __attribute__((returns_nonnull));

#endif
