/*
 * http: the answer to a POST request, read as it arrives (HTTP/1.1, RFC 9112), and the parts of a URL.
 * Bounded whatever the server sends: a head above HTTP_HEAD_MAX is malformed, of a body the first
 * HTTP_BODY_KEPT bytes are kept, the rest is skipped.
 *
 * Plain values without pointers to anything; no I/O.
 */
#ifndef SENDPOST_NET_HTTP_H
#define SENDPOST_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 32768
#define HTTP_LINE_MAX 8192
#define HTTP_BODY_KEPT 1024
#define HTTP_BODY_MAX 65536 /* a longer body is not worth the connection it comes on */

#define HTTP_INTERIM_MAX 16 /* 1xx answers before the final one */

enum http_progress {
    HTTP_MORE, /* not complete */
    HTTP_DONE, /* complete; bytes behind it were not taken */
    HTTP_BAD,  /* no answer that makes sense, or a body above HTTP_BODY_MAX; see head_done */
};

enum http_state {
    HTTP_STATUS_LINE,
    HTTP_HEADER,
    HTTP_BODY_SIZED,
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_END,
    HTTP_TRAILER,
    HTTP_BODY_TO_CLOSE,
};

struct http_answer {
    int status;      /* of the final answer; 1xx are passed over */
    bool head_done;  /* status and headers stand, whatever becomes of the body */
    bool keep;       /* the connection can carry another request once it is HTTP_DONE */
    bool begun;      /* a byte was received */
    bool takes_gzip; /* it says that it takes requests in this coding (RFC 9110 section 12.5.3) */
    char retry_after[64];
    char body[HTTP_BODY_KEPT];
    size_t body_kept;
    uint64_t body_size; /* received so far */

    enum http_state state;
    char line[HTTP_LINE_MAX];
    size_t line_length, head_size;
    unsigned interim;
    bool has_length, chunked, other_coding;
    uint64_t length, left;
};

void http_answer_start(struct http_answer *answer) __attribute__((nonnull));

/* Take bytes; *used_r: how many, all of them unless HTTP_DONE. line_seen: each line of a head as it
 * completes; NULL: none. */
enum http_progress http_answer_feed(struct http_answer *answer, const char *data, size_t size, size_t *used_r,
                                    void (*line_seen)(void *context, const char *line, size_t length),
                                    void *context) __attribute__((nonnull(1, 2, 4)));

/* The connection ended: complete, if the end of the connection is the end of the body. */
enum http_progress http_answer_end(struct http_answer *answer) __attribute__((nonnull));

/* Retry-After (RFC 9110 section 10.2.3) in milliseconds from now_s (time()), at most a day; 0: none or
 * malformed. */
int64_t http_retry_after_ms(const char *value, int64_t now_s) __attribute__((nonnull));

struct http_url {
    bool tls;
    char host[256]; /* an IPv6 address without its brackets */
    uint16_t port;
    char authority[300]; /* for the Host field */
    char path[2048];     /* query included */
};

/* http and https, without user information. */
bool http_url_parse(const char *url, struct http_url *url_r) __attribute__((nonnull));

#endif
