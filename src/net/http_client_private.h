/*
 * http_client_private: what the two halves of http_client share; nobody else includes it. http_exchange.c is
 * one request on one connection, http_client.c what goes before and after.
 */
#ifndef SENDPOST_NET_HTTP_CLIENT_PRIVATE_H
#define SENDPOST_NET_HTTP_CLIENT_PRIVATE_H

#include <pthread.h>

#include "base/url.h"
#include "net/dns.h"
#include "net/http_client.h"
#include "net/http_reader.h"
#include "net/tls.h"
#include "net/transport.h"

struct http_client {
    const struct config *config;
    const struct config_tls *settings;
    FILE *trace;
    pthread_t connector; /* until it has ended the connection is its own, and all that belongs to it */
    bool connecting;
    struct dns_resolver *resolver;
    struct tls_contexts *tls;

    const struct http_request *request; /* the one under way */
    int64_t deadline_ms;                /* of it */
    struct url url;                     /* of the last one */
    struct transport transport;         /* not connected: no connection is kept */
    char place[URL_HOST_SIZE + 80];     /* "api.example.com[192.0.2.1]:443" of the connection made last */
    int64_t connected_ms;               /* when it was made */
    bool session_kept;                  /* what it takes to resume its TLS */
    struct http_reader reader;
    struct http_answer answer;
    char error[512]; /* why there is none */
};

/* A line of the dialogue, or about it. */
void http_show(const struct http_client *client, char mark, const char *text, size_t length)
    __attribute__((nonnull));

enum http_contact {
    HTTP_CONNECTED,
    HTTP_NOT_REACHED, /* another address may do better */
    HTTP_NOT_TRUSTED, /* it is the one that was asked for, and not to be spoken to */
};

/* client->place is the address in words. client->error says why it is not connected. */
enum http_contact http_connect(struct http_client *client, const struct dns_address *address,
                               int64_t deadline_ms) __attribute__((nonnull));

void http_disconnect(struct http_client *client) __attribute__((nonnull));

/*
 * The request over the connection, by client->deadline_ms. False: the other side had closed it before it
 * answered, as servers do with one that is kept too long. Then, and where it cannot carry another request, it
 * is closed.
 */
bool http_exchange(struct http_client *client) __attribute__((nonnull));

#endif
