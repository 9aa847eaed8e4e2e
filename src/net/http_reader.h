/*
 * http_reader: the answer to an HTTP/1.1 request, out of the bytes that a connection gives, in pieces of any
 * size (RFC 9112 sections 4 to 7). Where the answer ends is never guessed: what contradicts itself about that
 * is no answer. No I/O; heads and body go to an http_answer, which bounds them.
 */
#ifndef SENDPOST_NET_HTTP_READER_H
#define SENDPOST_NET_HTTP_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http_answer.h"

enum http_progress {
    HTTP_MORE,     /* is to come */
    HTTP_WHOLE,    /* the answer is there */
    HTTP_TOO_MUCH, /* more than is kept of a head or a body */
    HTTP_NONSENSE, /* no HTTP, or not to be told where it ends */
};

struct http_reader {
    struct http_answer *answer;
    void (*seen)(void *context, const char *line, size_t length); /* each line of a head; NULL: nobody */
    void *context;
    enum {
        HTTP_AT_STATUS,
        HTTP_AT_FIELD,
        HTTP_AT_BODY,  /* left bytes of it */
        HTTP_AT_SIZE,  /* of the next chunk */
        HTTP_AT_CHUNK, /* left bytes of it */
        HTTP_AT_END,   /* of a chunk */
        HTTP_AT_TRAILER,
        HTTP_UNTIL_CLOSE, /* the connection's end is the body's */
    } place;
    int status;   /* of the head that is being read */
    bool stays;   /* the connection can carry another request, once this answer is whole */
    bool chunked; /* transfer codings of this head */
    bool coded;
    bool has_length;
    uint64_t left;
    size_t line_length; /* of a line that is not all there yet */
    char line[HTTP_HEAD_MAX];
};

/* Any request but HEAD, whose answer has no body although it tells a length. */
void http_reader_begin(struct http_reader *reader, struct http_answer *answer) __attribute__((nonnull));

/* What comes behind the end of an answer was not asked for: then the connection does not stay. */
enum http_progress http_reader_feed(struct http_reader *reader, const char *bytes, size_t length)
    __attribute__((nonnull));

/* The other side has closed the connection. */
enum http_progress http_reader_end(struct http_reader *reader) __attribute__((nonnull));

#endif
