#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "net/tls_files.h"

/* A file this young is not written again: its session is good for the next deliveries as well. */
#define REWRITE_AFTER_S 600

struct context {
    struct context *next;
    struct config_tls settings; /* strings are ours */
    SSL_CTX *ctx;
};

struct tls_contexts {
    struct context *first;
    char *directory; /* NULL: no cache */
};

/* What a connection remembers; the app data of its SSL object. */
struct tls_memory {
    SSL_SESSION *fresh;                /* the last session that the server gave us */
    int64_t verified_s;                /* of the resumed session */
    int64_t written_s;                 /* of its file */
    char bad_subject[256];             /* of the certificate that was not accepted */
    struct tls_attachment *attachment; /* NULL: the connection is made here */
};

struct tls_contexts *tls_contexts_new(const char *state_dir)
{
    struct tls_contexts *contexts = xcalloc(1, sizeof *contexts);

    if (state_dir != NULL)
        contexts->directory = xasprintf("%s/tls-sessions", state_dir);
    return contexts;
}

void tls_contexts_free(struct tls_contexts *contexts)
{
    if (contexts == NULL)
        return;
    while (contexts->first != NULL) {
        struct context *context = contexts->first;
        contexts->first = context->next;
        SSL_CTX_free(context->ctx);
        free(context->settings.ca_path);
        free(context->settings.ca_file);
        free(context->settings.cert_file);
        free(context->settings.key_file);
        free(context);
    }
    free(contexts->directory);
    free(contexts);
}

static void memory_free(struct tls_memory *memory)
{
    if (memory == NULL)
        return;
    if (memory->attachment != NULL && memory->attachment->memory == memory) {
        memory->attachment->ssl = NULL;
        memory->attachment->memory = NULL;
    }
    SSL_SESSION_free(memory->fresh);
    free(memory);
}

/* OpenSSL frees what hangs on an SSL object through this. */
static void free_app_data(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)parent, (void)data, (void)index, (void)argl, (void)argp;
    memory_free(pointer);
}

static int memory_index, attachment_index;
static CRYPTO_ONCE indexes_once = CRYPTO_ONCE_STATIC_INIT;

static void make_indexes(void)
{
    memory_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_app_data);
    attachment_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static struct tls_memory *memory_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, memory_index);
}

static int session_arrived(SSL *ssl, SSL_SESSION *session)
{
    struct tls_memory *memory = memory_of(ssl);

    if (memory == NULL)
        return 0;
    SSL_SESSION_free(memory->fresh);
    memory->fresh = session;
    return 1; /* the reference is ours now */
}

static void explain_certificate(const struct tls_peer *peer, long verification, const char *subject,
                                char *error, size_t error_size)
{
    snprintf(error, error_size, "the certificate was not accepted: %s%s%s; check host and tls-ca-%s (%s)",
             X509_verify_cert_error_string(verification), *subject != '\0' ? ", subject " : "", subject,
             peer->settings->ca_file != NULL ? "file" : "path",
             peer->settings->ca_file != NULL ? peer->settings->ca_file : peer->settings->ca_path);
}

static int certificate_seen(int ok, X509_STORE_CTX *store)
{
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);

    if (!ok && certificate != NULL) {
        SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct tls_memory *memory = memory_of(ssl);
        X509_NAME_oneline(X509_get_subject_name(certificate), memory->bad_subject,
                          sizeof memory->bad_subject);
        if (memory->attachment != NULL) /* the library will have freed its SSL object before we are asked */
            explain_certificate(&memory->attachment->peer, X509_STORE_CTX_get_error(store),
                                memory->bad_subject, memory->attachment->error,
                                sizeof memory->attachment->error);
    }
    return ok;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool set_up_context(SSL_CTX *ctx, const struct config_tls *settings, char *error, size_t error_size)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record's head and the rest of it with one system call */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, session_arrived);
    if (settings->verify)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, certificate_seen);
    return tls_files_load(ctx, settings, error, error_size);
}

static SSL_CTX *make_context(const struct config_tls *settings, char *error, size_t error_size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL) {
        snprintf(error, error_size, "OpenSSL cannot make a context: %s",
                 tls_files_reason(ERR_peek_last_error()));
    } else if (!set_up_context(ctx, settings, error, error_size)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static SSL_CTX *context_for(struct tls_contexts *contexts, const struct config_tls *settings, char *error,
                            size_t error_size)
{
    struct context *context;
    SSL_CTX *ctx;

    for (context = contexts->first; context != NULL; context = context->next)
        if (context->settings.verify == settings->verify &&
            same(context->settings.ca_path, settings->ca_path) &&
            same(context->settings.ca_file, settings->ca_file) &&
            same(context->settings.cert_file, settings->cert_file) &&
            same(context->settings.key_file, settings->key_file))
            return context->ctx;
    ctx = make_context(settings, error, error_size);
    if (ctx == NULL)
        return NULL;
    context = xcalloc(1, sizeof *context);
    context->settings.verify = settings->verify;
    context->settings.ca_path = settings->ca_path != NULL ? xstrdup(settings->ca_path) : NULL;
    context->settings.ca_file = settings->ca_file != NULL ? xstrdup(settings->ca_file) : NULL;
    context->settings.cert_file = settings->cert_file != NULL ? xstrdup(settings->cert_file) : NULL;
    context->settings.key_file = settings->key_file != NULL ? xstrdup(settings->key_file) : NULL;
    context->ctx = ctx;
    context->next = contexts->first;
    contexts->first = context;
    return ctx;
}

/* RFC 9525 section 6.3: the names of a certificate are its subjectAltName, and CN is none; "*" is a whole
 * label. */
#define NAME_CHECK (X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

static bool is_address(const char *host)
{
    unsigned char buffer[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, buffer) == 1 || inet_pton(AF_INET6, host, buffer) == 1;
}

static bool certificate_good(X509 *certificate, const char *host)
{
    if (certificate == NULL || X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0 ||
        X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        return false;
    return is_address(host) ? X509_check_ip_asc(certificate, host, 0) == 1
                            : X509_check_host(certificate, host, 0, NAME_CHECK, NULL) == 1;
}

/* A resumed session is not verified by OpenSSL: look at what it carries before it is offered. */
static void offer_session(const struct tls_contexts *contexts, SSL *ssl, struct tls_memory *memory,
                          const struct tls_peer *peer)
{
    char key[TLS_CACHE_KEY_SIZE];
    struct tls_cached cached;

    if (contexts->directory == NULL)
        return;
    tls_cache_key(key, peer);
    cached = tls_cache_load(contexts->directory, key);
    if (cached.session == NULL)
        return;
    SSL_set_session(ssl, cached.session);
    if (peer->settings->verify && (SSL_get_verify_result(ssl) != X509_V_OK ||
                                   !certificate_good(SSL_SESSION_get0_peer(cached.session), peer->host))) {
        SSL_set_session(ssl, NULL);
        tls_cache_forget(contexts->directory, key);
    } else {
        memory->verified_s = cached.verified_s;
        memory->written_s = cached.written_s;
    }
    SSL_SESSION_free(cached.session);
}

/* Before the handshake: whose certificate is expected, and the session to resume. */
static bool prepare(const struct tls_contexts *contexts, SSL *ssl, const struct tls_peer *peer)
{
    struct tls_memory *memory = xcalloc(1, sizeof *memory);

    SSL_set_ex_data(ssl, memory_index, memory);
    if (is_address(peer->host)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), peer->host);
    } else {
        SSL_set_tlsext_host_name(ssl, peer->host);
        SSL_set_hostflags(ssl, NAME_CHECK);
        if (SSL_set1_host(ssl, peer->host) != 1)
            return false;
    }
    offer_session(contexts, ssl, memory, peer);
    return true;
}

static SSL *make_ssl(const struct tls_contexts *contexts, SSL_CTX *ctx, const struct tls_peer *peer)
{
    SSL *ssl = SSL_new(ctx);

    if (ssl != NULL && !prepare(contexts, ssl, peer)) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

/* Why one of the two ended the handshake; false: neither did, the connection is gone. */
static bool explain_failure(const SSL *ssl, const struct tls_peer *peer, char *error, size_t error_size)
{
    const struct tls_memory *memory = memory_of(ssl);
    long verification = SSL_get_verify_result(ssl);
    unsigned long code = ERR_peek_last_error();

    if (peer->settings->verify && verification != X509_V_OK)
        explain_certificate(peer, verification, memory->bad_subject, error, error_size);
    else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(error, error_size, "the server does not speak TLS here; check port and security");
    else if (code != 0 && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        snprintf(error, error_size, "%s", tls_files_reason(code));
    else
        return false;
    return true;
}

static bool wants_more(const SSL *ssl, int result)
{
    int error = SSL_get_error(ssl, result);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

enum tls_start tls_start(struct tls_contexts *contexts, struct transport *transport,
                         const struct tls_peer *peer, int64_t deadline_ms, enum transport_status *status_r,
                         char *error, size_t error_size)
{
    SSL_CTX *ctx = context_for(contexts, peer->settings, error, error_size);

    if (ctx == NULL)
        return TLS_FAILED;
    CRYPTO_THREAD_run_once(&indexes_once, make_indexes);
    transport->ssl = make_ssl(contexts, ctx, peer);
    if (transport->ssl == NULL || SSL_set_fd(transport->ssl, transport->descriptor) != 1) {
        snprintf(error, error_size, "OpenSSL cannot set up the connection: %s",
                 tls_files_reason(ERR_peek_last_error()));
        return TLS_FAILED;
    }
    do {
        ERR_clear_error();
        errno = 0;
        int result = SSL_connect(transport->ssl), saved_errno = errno;
        if (result == 1)
            return TLS_STARTED;
        if (!wants_more(transport->ssl, result) && explain_failure(transport->ssl, peer, error, error_size))
            return TLS_FAILED;
        errno = saved_errno;
        *status_r = transport_tls_result(transport, result, deadline_ms);
    } while (*status_r == TRANSPORT_OK);
    snprintf(error, error_size, "%s", transport->error);
    return TLS_LOST;
}

void tls_keep_session(struct tls_contexts *contexts, const SSL *ssl, const struct tls_peer *peer)
{
    struct tls_memory *memory = ssl != NULL ? memory_of(ssl) : NULL;
    char key[TLS_CACHE_KEY_SIZE];
    bool resumed;
    int64_t now = time(NULL);

    if (contexts->directory == NULL || memory == NULL || memory->fresh == NULL ||
        SSL_SESSION_is_resumable(memory->fresh) != 1)
        return;
    resumed = SSL_session_reused(ssl) == 1;
    if (resumed && now - memory->written_s < REWRITE_AFTER_S)
        return;
    if (peer->settings->verify &&
        (SSL_get_verify_result(ssl) != X509_V_OK || SSL_get0_peer_certificate(ssl) == NULL))
        return;
    tls_cache_key(key, peer);
    tls_cache_store(contexts->directory, key, memory->fresh, resumed ? memory->verified_s : now);
    ERR_clear_error();
}

/* --- connections that a library makes ------------------------------------------------------------------- */

/* Its SSL object is not to be had before its handshake begins. */
static void handshake_seen(const SSL *ssl, int where, int result)
{
    struct tls_attachment *attachment = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), attachment_index);
    SSL *theirs = (SSL *)(uintptr_t)ssl;

    (void)result;
    if ((where & SSL_CB_HANDSHAKE_START) == 0 || attachment == NULL || memory_of(ssl) != NULL ||
        !prepare(attachment->contexts, theirs, &attachment->peer))
        return;
    attachment->ssl = theirs;
    attachment->memory = memory_of(ssl);
    attachment->memory->attachment = attachment;
}

bool tls_attach(struct tls_attachment *attachment, SSL_CTX *ctx)
{
    X509_STORE *nobody = X509_STORE_new();

    CRYPTO_THREAD_run_once(&indexes_once, make_indexes);
    attachment->error[0] = '\0';
    if (nobody == NULL)
        return false;
    SSL_CTX_set_cert_store(ctx, nobody);          /* whatever the library trusts by itself */
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET); /* TLS 1.2 resumes by tickets, too */
    SSL_CTX_set_keylog_callback(ctx, NULL);       /* nor does it write keys where the environment says */
    SSL_CTX_set_info_callback(ctx, handshake_seen);
    return SSL_CTX_set_ex_data(ctx, attachment_index, attachment) == 1 &&
           set_up_context(ctx, attachment->peer.settings, attachment->error, sizeof attachment->error);
}
