/*
 * http_client_private: what the two halves of http_client share; nobody else includes it. http_exchange.c is
 * what libcurl asks and is told, http_client.c what goes before and after.
 */
#ifndef SENDPOST_NET_HTTP_CLIENT_PRIVATE_H
#define SENDPOST_NET_HTTP_CLIENT_PRIVATE_H

#include <pthread.h>

#include "base/url.h"
#include "net/curl.h"
#include "net/dns.h"
#include "net/http_client.h"
#include "net/tls.h"

struct http_client {
    const struct config *config;
    const struct config_tls *settings;
    FILE *trace;
    const struct curl_library *lib; /* NULL: not needed yet */
    CURL *curl;
    struct dns_resolver *resolver;
    struct tls_contexts *tls;
    struct tls_attachment attachment;
    pthread_t loader;
    bool loading;

    const struct http_request *request; /* the one under way */
    int64_t deadline_ms;                /* of it */
    struct url url;                     /* of the last one */
    char place[URL_HOST_SIZE + 80];     /* "api.example.com[192.0.2.1]:443" of the connection made last */
    int64_t connected_ms;               /* when it was made */
    bool summary_due;                   /* its TLS is not yet in the trace */
    bool kept;                          /* it can carry the next request */
    struct http_answer answer;
    char error[512]; /* why there is none */
};

/* A line of the dialogue, or about it. */
void http_show(const struct http_client *client, char mark, const char *text, size_t length)
    __attribute__((nonnull));

/* client->curl, ready for requests. False: client->error says why not. */
bool http_load(struct http_client *client) __attribute__((nonnull));

/* Hand client->request to libcurl; *headers_r is freed after it. False: client->error says why not. */
bool http_set_request(struct http_client *client, struct curl_slist **headers_r) __attribute__((nonnull));

/* "out of memory" as client->error. */
void http_lacks_memory(struct http_client *client) __attribute__((nonnull));

/*
 * The request over the kept connection or a new one, made within connect_ms, by deadline_ms. False: no
 * connection was made, and nothing of the request was sent; client->error says why.
 */
bool http_perform(struct http_client *client, int64_t connect_ms) __attribute__((nonnull));

#endif
