/*
 * http_answer: what a server answers to an HTTP request, bounded whatever it sends, and made fit for logs and
 * people. No I/O; fed by net/http_client.c.
 */
#ifndef SENDPOST_NET_HTTP_ANSWER_H
#define SENDPOST_NET_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 32768
#define HTTP_INTERIM_MAX 16 /* 1xx answers before the final one (RFC 9110 section 15.2) */
#define HTTP_TEXT_SIZE 400

struct http_answer {
    int status;                /* 0: no answer, text says why */
    bool whole;                /* body is all of what was sent */
    bool takes_gzip;           /* it says that it takes requests in this coding (RFC 9110 section 12.5.3) */
    int64_t date_s;            /* Date, since 1970 (RFC 9110 section 6.6.1); 0: none that can be read */
    int64_t retry_after_ms;    /* from now, as the server asks, at most a day; 0: it did not */
    char *body;                /* NUL-terminated; NULL while empty */
    size_t length;             /* of what was kept, without the NUL */
    char text[HTTP_TEXT_SIZE]; /* "HTTP 422: no such account"; one line of clean UTF-8 */

    size_t body_max, room, head_size; /* bytes to keep; bytes that body has room for; of the heads received */
    unsigned interim;
};

/* Forget one answer, wiping its body, and be ready for the next, of which at most body_max bytes are kept. */
void http_answer_reset(struct http_answer *answer, size_t body_max) __attribute__((nonnull));

/* A line of a head, CRLF or LF included, or the blank one at its end. status: of the head it belongs to.
 * False: too much of it. */
bool http_answer_head(struct http_answer *answer, int status, const char *line, size_t length)
    __attribute__((nonnull));

/* Bytes of the body. False: it is longer than what is kept. */
bool http_answer_body(struct http_answer *answer, const char *data, size_t length) __attribute__((nonnull));

/* Fill text from status and body, each of the secrets (NULL-terminated; NULL: none) masked. */
void http_answer_describe(struct http_answer *answer, const char *const *secrets) __attribute__((nonnull(1)));

/* length bytes of text with each occurrence of a secret replaced; malloc'd, *masked_r long. */
char *http_mask(const char *text, size_t length, const char *const *secrets, size_t *masked_r)
    __attribute__((nonnull(1, 4), returns_nonnull));

#endif
