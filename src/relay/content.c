#include "relay/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

#define EXPECTED_SIZE 16384

void content_start(struct content_check *check, const struct relay_message *message)
{
    *check = (struct content_check){.message = message, .expected = xmalloc(EXPECTED_SIZE)};
}

void content_finish(struct content_check *check)
{
    free(check->expected);
    check->expected = NULL;
}

static enum content_verdict refill(struct content_check *check)
{
    ssize_t got =
        check->message->read_at(check->message->context, check->offset, check->expected, EXPECTED_SIZE);
    if (got < 0 || (got == 0 && check->offset < check->message->size)) {
        check->error = got < 0 ? errno : EIO;
        return CONTENT_UNREADABLE;
    }
    check->start = 0;
    check->end = (size_t)got;
    return CONTENT_MORE;
}

/* Behind the end of the message there may be the CRLF that makes its last line one. */
static enum content_verdict compare_added(struct content_check *check, const char *data, size_t length)
{
    static const char crlf[] = "\r\n";

    if (check->added == 0 && check->last == '\r')
        check->added = 1;
    else if (check->added == 0 && check->before == '\r' && check->last == '\n')
        return CONTENT_ALTERED;
    if (check->message->size == 0 || length > 2 - check->added ||
        memcmp(data, crlf + check->added, length) != 0)
        return CONTENT_ALTERED;
    check->added += length;
    return CONTENT_MORE;
}

static enum content_verdict compare(struct content_check *check, const char *data, size_t length)
{
    while (length > 0) {
        size_t chunk;

        if (check->offset >= check->message->size)
            return compare_added(check, data, length);
        if (check->start == check->end) {
            enum content_verdict verdict = refill(check);
            if (verdict != CONTENT_MORE)
                return verdict;
        }
        chunk = check->end - check->start < length ? check->end - check->start : length;
        if (memcmp(check->expected + check->start, data, chunk) != 0)
            return CONTENT_ALTERED;
        check->start += chunk;
        check->offset += chunk;
        check->before = chunk > 1 ? (unsigned char)data[chunk - 2] : check->last;
        check->last = (unsigned char)data[chunk - 1];
        data += chunk;
        length -= chunk;
    }
    return CONTENT_MORE;
}

static enum content_verdict end_of_content(const struct content_check *check)
{
    bool whole = check->offset == check->message->size;
    bool line_ended =
        check->message->size == 0 || check->added == 2 || (check->before == '\r' && check->last == '\n');

    return whole && line_ended ? CONTENT_COMPLETE : CONTENT_ALTERED;
}

/* One line, or the part of it that is here; *used_r: so much. */
static enum content_verdict take_text(struct content_check *check, const char *data, size_t length,
                                      size_t *used_r)
{
    const char *end = memchr(data, '\n', length);
    size_t part = end != NULL ? (size_t)(end - data) + 1 : length;
    unsigned char ahead = part > 1 ? (unsigned char)data[part - 2] : check->added == 1 ? '\r' : check->last;
    enum content_verdict verdict = compare(check, data, part);

    *used_r = part;
    if (verdict != CONTENT_MORE)
        return verdict;
    if (end != NULL && ahead != '\r')
        return CONTENT_BARE_LF;
    check->state = end != NULL ? CONTENT_LINE_START : CONTENT_TEXT;
    return CONTENT_MORE;
}

enum content_verdict content_feed(struct content_check *check, const char *data, size_t length,
                                  size_t *safe_r)
{
    size_t at = 0;
    enum content_verdict verdict = CONTENT_MORE;

    *safe_r = 0;
    while (at < length && verdict == CONTENT_MORE) {
        size_t used = 0;

        switch (check->state) {
        case CONTENT_LINE_START:
            if (data[at] == '.') {
                check->state = CONTENT_DOT;
                at++;
                continue;
            }
            break;
        case CONTENT_DOT:
            if (data[at] == '\r') {
                check->state = CONTENT_DOT_CR;
                at++;
                continue;
            }
            break; /* the dot was stuffing */
        case CONTENT_DOT_CR:
            if (data[at] == '\n') {
                *safe_r = at + 1;
                return end_of_content(check);
            }
            verdict = compare(check, "\r", 1); /* ".\r" and no line end: the line begins with a CR */
            break;
        case CONTENT_TEXT:
            break;
        }
        if (verdict == CONTENT_MORE)
            verdict = take_text(check, data + at, length - at, &used);
        at += used;
        *safe_r = at;
    }
    return verdict;
}
