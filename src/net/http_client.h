/*
 * http_client: HTTP/1.1 requests through libcurl, for everybody who has any: events, tokens, SendPost's API,
 * the agent's own pages.
 *
 * Addresses come from our own resolver (net/dns.h), each with its share of the time that is left. TLS is
 * verified, versions chosen and sessions resumed across processes as everywhere else (net/tls.h). A
 * connection is kept for the next request to the same host and port. Redirects are not followed: a key goes
 * to the configured host and nowhere else; proxies and libraries' variables of the environment are not
 * heeded, for the same reason. Plain http only where the URL says so. Answers are bounded
 * (net/http_answer.h).
 *
 * A client belongs to one thread.
 */
#ifndef SENDPOST_NET_HTTP_CLIENT_H
#define SENDPOST_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config.h"
#include "net/http_answer.h"

struct http_client;

/* Of config: dns, and state_dir for the cache of TLS sessions. trace: the dialogue goes there, secrets
 * masked; NULL: nowhere. All outlive the client. */
struct http_client *http_client_open(const struct config *config, const struct config_tls *tls, FILE *trace)
    __attribute__((nonnull(1, 2), returns_nonnull));
void http_client_close(struct http_client *client); /* NULL is fine */

/* A request will probably follow: load libcurl meanwhile, in a thread of its own. */
void http_client_prepare(struct http_client *client) __attribute__((nonnull));
/* Whether there would be nothing left to do for it. */
bool http_client_is_prepared(const struct http_client *client) __attribute__((nonnull));

struct http_request {
    const char *method;         /* "GET", "POST", … */
    const char *url;            /* as url_parse() takes it */
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
    const char *body;           /* NULL: none */
    size_t length;
    const char *const *secrets; /* what is never shown, NULL-terminated; NULL: nothing */
    bool secret_answer;         /* nothing of a body is shown: it holds what we cannot know beforehand */
    size_t answer_max;          /* bytes of a body that are of interest; more of it ends the connection */
    int64_t timeout_ms;         /* for everything */
};

/* Ends within timeout_ms. The answer is the client's and stands until the next request. */
const struct http_answer *http_client_send(struct http_client *client, const struct http_request *request)
    __attribute__((nonnull, returns_nonnull));

#endif
