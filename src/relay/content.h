/*
 * content: the check that what an engine sends after DATA is the message, byte for byte, and all of it. It
 * undoes the dot-stuffing (RFC 5321 section 4.5.2) and compares with the message itself, so that no engine
 * can alter, cut or end a message without being caught: the final dot is let through only when everything
 * before it was right.
 *
 * The one thing an engine may add is the CRLF that a message needs before the final dot and does not end in.
 */
#ifndef SENDPOST_RELAY_CONTENT_H
#define SENDPOST_RELAY_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/relay.h"

enum content_verdict {
    CONTENT_MORE,
    CONTENT_COMPLETE,   /* the final dot was seen and the message was exact */
    CONTENT_ALTERED,    /* what came is not the message */
    CONTENT_BARE_LF,    /* the message holds a line feed without carriage return: not fit for SMTP */
    CONTENT_UNREADABLE, /* the message could not be read; errno in error */
};

struct content_check {
    const struct relay_message *message;
    uint64_t offset; /* bytes of the message that were matched */
    size_t added;    /* bytes of the CRLF that was added at its end */
    int error;
    enum { CONTENT_LINE_START, CONTENT_DOT, CONTENT_DOT_CR, CONTENT_TEXT } state;
    unsigned char before, last; /* the last two bytes of content */
    char *expected;             /* expected[start, end) is the message from offset on */
    size_t start, end;
};

void content_start(struct content_check *check, const struct relay_message *message) __attribute__((nonnull));
void content_finish(struct content_check *check) __attribute__((nonnull));

/*
 * Look at the next bytes of the stream. *safe_r: so many of them may be passed on; the rest (at most ".\r")
 * may be the beginning of the final dot and is to be held back until more came. After CONTENT_COMPLETE
 * *safe_r is behind the final ".\r\n".
 */
enum content_verdict content_feed(struct content_check *check, const char *data, size_t length,
                                  size_t *safe_r) __attribute__((nonnull));

#endif
