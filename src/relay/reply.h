/*
 * reply: SMTP replies (RFC 5321 section 4.2) from bytes as they come off the wire. Pure and bounded: no
 * network, no allocation, and a server can neither make it read without end nor store more than it has room
 * for.
 *
 *     Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 *     Reply-code = %x32-35 %x30-35 %x30-39
 *
 * Lenient where servers in the field are: a bare LF ends a line, the text may be missing, the second digit
 * may be anything. Not lenient where leniency would mean guessing what the server meant: lines of one reply
 * that disagree about the code make it malformed.
 */
#ifndef SENDPOST_RELAY_REPLY_H
#define SENDPOST_RELAY_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define REPLY_TEXT_SIZE 1024
#define REPLY_LINE_MAX 4096   /* bytes; the RFC asks for 512; a longer line is cut */
#define REPLY_TOTAL_MAX 65536 /* bytes of one reply, all lines */

enum reply_progress {
    REPLY_MORE, /* the reply is not complete */
    REPLY_COMPLETE,
    REPLY_MALFORMED, /* these bytes are no SMTP reply */
    REPLY_FLOOD,     /* the reply is longer than any honest one */
};

struct reply {
    int code;
    size_t lines;
    size_t text_length;
    /* all lines joined by a blank, without reply codes and repeated enhanced codes, control characters
     * blanked; cut to fit; NUL-terminated */
    char text[REPLY_TEXT_SIZE];
};

struct reply_parser {
    struct reply reply;
    size_t total;
    size_t line_length;
    char line[REPLY_LINE_MAX];
    /* Called for every line with the text behind its code; NULL: none. */
    void (*line_seen)(void *context, size_t index, const char *text, size_t length);
    void *context;
};

void reply_start(struct reply_parser *parser) __attribute__((nonnull));

/* Take bytes until the reply is complete or broken; *used_r says how many, the rest belongs to what
 * follows. */
enum reply_progress reply_feed(struct reply_parser *parser, const char *data, size_t length, size_t *used_r)
    __attribute__((nonnull));

#endif
