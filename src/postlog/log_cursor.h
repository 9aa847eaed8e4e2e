/*
 * log_cursor: the few steps of which the log parser is made, all bounded by the end of the line.
 */
#ifndef SENDPOST_POSTLOG_LOG_CURSOR_H
#define SENDPOST_POSTLOG_LOG_CURSOR_H

#include <string.h>

#include "postlog/postfix_log.h"

/* What is still to be read of the line. */
struct cursor {
    const char *at, *end;
};

static inline size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static inline bool cursor_skip(struct cursor *cursor, const char *word, size_t length)
{
    if (cursor_left(cursor) < length || memcmp(cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}
#define SKIP(cursor, literal) cursor_skip((cursor), "" literal, sizeof(literal) - 1)

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_alphanumeric(char c)
{
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool slice_is(struct log_slice slice, const char *word)
{
    return slice.length == strlen(word) && memcmp(slice.at, word, slice.length) == 0;
}

static inline bool slice_begins(struct log_slice slice, const char *word)
{
    return slice.length >= strlen(word) && memcmp(slice.at, word, strlen(word)) == 0;
}

/* Up to the next c, which is skipped. */
static inline bool take_until(struct cursor *cursor, char c, struct log_slice *slice_r)
{
    const char *stop = memchr(cursor->at, c, cursor_left(cursor));

    if (stop == NULL)
        return false;
    *slice_r = (struct log_slice){cursor->at, (size_t)(stop - cursor->at)};
    cursor->at = stop + 1;
    return true;
}

#endif
