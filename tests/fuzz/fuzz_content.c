/*
 * The final dot passes only behind the whole message, unchanged: the message as it is, stuffed here in the
 * plainest way, is always let through; any other stream is let through only if undoing its stuffing gives the
 * message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "relay/content.h"
#include "relay/header_shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
    const char *bytes;
    size_t length;
};

static ssize_t read_at(void *context, uint64_t offset, char *buffer, size_t size)
{
    const struct text *text = context;
    size_t part;

    if (offset >= text->length)
        return 0;
    part = text->length - (size_t)offset < size ? text->length - (size_t)offset : size;
    memcpy(buffer, text->bytes + offset, part);
    return (ssize_t)part;
}

static enum content_verdict feed(struct text *message, const char *stream, size_t length, size_t piece,
                                 size_t *end_r)
{
    struct relay_message view = {.size = message->length, .read_at = read_at, .context = message};
    struct content_check check;
    enum content_verdict verdict = CONTENT_MORE;

    content_start(&check, &view);
    for (size_t at = 0; at < length && verdict == CONTENT_MORE; at += piece) {
        size_t safe, part = length - at < piece ? length - at : piece;
        verdict = content_feed(&check, stream + at, part, &safe);
        if (safe > part)
            abort();
        *end_r = at + safe;
    }
    content_finish(&check);
    return verdict;
}

/* Stuff (or unstuff) text into out, which has room for twice its length; returns the new length. */
static size_t stuff(const struct text *text, char *out)
{
    size_t length = 0;

    for (size_t i = 0; i < text->length; i++) {
        bool line_start = i == 0 || (i > 1 && text->bytes[i - 2] == '\r' && text->bytes[i - 1] == '\n');
        if (line_start && text->bytes[i] == '.')
            out[length++] = '.';
        out[length++] = text->bytes[i];
    }
    return length;
}

static size_t unstuff(const char *stream, size_t length, char *out)
{
    size_t made = 0;

    for (size_t i = 0; i < length; i++) {
        bool line_start = i == 0 || (i > 1 && stream[i - 2] == '\r' && stream[i - 1] == '\n');
        if (!(line_start && stream[i] == '.'))
            out[made++] = stream[i];
    }
    return made;
}

static bool has_bare_lf(const struct text *text)
{
    for (size_t i = 0; i < text->length; i++)
        if (text->bytes[i] == '\n' && (i == 0 || text->bytes[i - 1] != '\r'))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text message, other;
    size_t piece, split, length, end = 0;
    char *stream, *plain;

    if (size < 2 || size > 65536)
        return 0;
    piece = data[0] % 16 + 1u;
    split = data[1] * (size - 2) / 255;
    message = (struct text){(const char *)data + 2, split};
    other = (struct text){(const char *)data + 2 + split, size - 2 - split};
    stream = malloc(2 * size + 8);
    plain = malloc(2 * size + 8);
    if (stream == NULL || plain == NULL)
        abort();

    (void)header_shape_trouble(message.bytes, message.length);
    length = stuff(&message, stream);
    if (length > 0 && !(message.length > 1 && memcmp(message.bytes + message.length - 2, "\r\n", 2) == 0)) {
        if (message.bytes[message.length - 1] != '\r')
            stream[length++] = '\r';
        stream[length++] = '\n';
    }
    memcpy(stream + length, ".\r\n", 3);
    length += 3;
    if (feed(&message, stream, length, piece, &end) !=
        (has_bare_lf(&message) ? CONTENT_BARE_LF : CONTENT_COMPLETE))
        abort();

    if (feed(&message, other.bytes, other.length, piece, &end) == CONTENT_COMPLETE) {
        if (end < 3 || memcmp(other.bytes + end - 3, ".\r\n", 3) != 0)
            abort();
        length = unstuff(other.bytes, end - 3, plain);
        if (length < message.length || length > message.length + 2 ||
            memcmp(plain, message.bytes, message.length) != 0)
            abort();
    }
    free(stream);
    free(plain);
    return 0;
}
