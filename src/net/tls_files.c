#include "net/tls_files.h"

#include <openssl/err.h>
#include <stdio.h>
#include <unistd.h>

const char *tls_files_reason(unsigned long code)
{
    const char *reason = ERR_reason_error_string(code);

    return reason != NULL ? reason : "unknown reason";
}

/* A pass phrase would have to lie beside the key: OpenSSL is not to ask for one on a terminal. */
static int no_pass_phrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

static bool load_client_certificate(SSL_CTX *ctx, const struct config_tls *settings, char *error,
                                    size_t error_size)
{
    if (settings->cert_file == NULL)
        return true;
    SSL_CTX_set_default_passwd_cb(ctx, no_pass_phrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, settings->cert_file) != 1) {
        snprintf(error, error_size, "cannot use the client certificate %s: %s; check tls-cert-file (PEM)",
                 settings->cert_file, tls_files_reason(ERR_peek_last_error()));
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, settings->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        snprintf(error, error_size,
                 "cannot use the key %s of the client certificate: %s; check tls-key-file (PEM, without pass "
                 "phrase)",
                 settings->key_file, tls_files_reason(ERR_peek_last_error()));
        return false;
    }
    return true;
}

static bool load_authorities(SSL_CTX *ctx, const struct config_tls *settings, char *error, size_t error_size)
{
    if ((settings->ca_file == NULL || SSL_CTX_load_verify_file(ctx, settings->ca_file) == 1) &&
        (settings->ca_path == NULL || (access(settings->ca_path, R_OK | X_OK) == 0 &&
                                       SSL_CTX_load_verify_dir(ctx, settings->ca_path) == 1)))
        return true;
    snprintf(error, error_size, "cannot read CA certificates from %s: check tls-ca-%s",
             settings->ca_file != NULL ? settings->ca_file : settings->ca_path,
             settings->ca_file != NULL ? "file" : "path");
    return false;
}

bool tls_files_load(SSL_CTX *ctx, const struct config_tls *settings, char *error, size_t error_size)
{
    return (!settings->verify || load_authorities(ctx, settings, error, error_size)) &&
           load_client_certificate(ctx, settings, error, error_size);
}
