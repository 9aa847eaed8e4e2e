/*
 * event_client: POST requests to the event ingestion API, HTTP/1.1 over one connection that is kept between
 * requests.
 *
 * It speaks through the same transport and TLS as the relay (net/transport.h, net/tls.h): resolved and
 * connected within the deadline, verified always, resumed across processes. That is our own code where a
 * library would do, because it runs at every message: loading libcurl and its thirty libraries costs more
 * than everything else that a delivery does on the CPU.
 *
 * Redirects are not followed: the key goes to the configured host and nowhere else. Proxies of the
 * environment are not used, for the same reason. At most a few kB of an answer are read.
 *
 * The key appears in no error text and in no trace, also not where the server echoes it. A client belongs to
 * one thread.
 */
#ifndef SENDPOST_EVENT_EVENT_CLIENT_H
#define SENDPOST_EVENT_EVENT_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config.h"

struct event_client;

#define EVENT_ANSWER_TEXT_SIZE 400

struct event_answer {
    int status;                        /* HTTP status; 0: no answer, text says why */
    int64_t retry_after_ms;            /* from now, as the server asks; 0: it did not */
    char text[EVENT_ANSWER_TEXT_SIZE]; /* "HTTP 422: no such account"; one line of clean UTF-8 */
};

/* For config->endpoint, which is not NULL, with report.tls; TLS sessions are kept in the state directory.
 * config outlives the client. */
struct event_client *event_client_open(const struct config *config) __attribute__((nonnull, returns_nonnull));
void event_client_close(struct event_client *client); /* NULL is fine */

/* The HTTP dialogue on this stream, keys masked; NULL: none. */
void event_client_trace(struct event_client *client, FILE *trace) __attribute__((nonnull(1)));

/*
 * Compress large requests with this function (event_gzip.h), once the endpoint has said in an answer that it
 * takes gzip: RFC 9110 section 12.5.3. Without its word nothing is compressed: a server that passes on what
 * it does not understand would lose the events.
 */
void event_client_compress(struct event_client *client,
                           char *(*compress)(const char *body, size_t length, size_t *packed_length_r))
    __attribute__((nonnull(1)));

/* key: NULL for none. Always fills *answer_r, within timeout_ms. */
void event_client_post(struct event_client *client, const char *key, const char *body, size_t length,
                       int64_t timeout_ms, struct event_answer *answer_r) __attribute__((nonnull(1, 3, 6)));

/* Fill text from status and the beginning of a body as it was received, the key (NULL: none) masked. */
void event_answer_describe(struct event_answer *answer, const char *key, const char *body, size_t length)
    __attribute__((nonnull(1, 3)));

#endif
