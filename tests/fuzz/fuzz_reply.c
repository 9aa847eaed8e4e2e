/* However a server's bytes are cut, the reply is the same, bounded, and clean. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "relay/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum reply_progress feed(struct reply_parser *parser, const char *data, size_t size, size_t piece,
                                size_t *taken_r)
{
    enum reply_progress progress = REPLY_MORE;

    reply_start(parser);
    *taken_r = 0;
    while (progress == REPLY_MORE && *taken_r < size) {
        size_t used = 0, length = size - *taken_r < piece ? size - *taken_r : piece;
        progress = reply_feed(parser, data + *taken_r, length, &used);
        if (used > length || (progress == REPLY_MORE && used != length))
            abort();
        *taken_r += used;
    }
    return progress;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reply_parser whole, pieces;
    size_t whole_taken, pieces_taken, piece;
    enum reply_progress progress;

    if (size < 2)
        return 0;
    piece = data[0] % 32 + 1u;
    progress = feed(&whole, (const char *)data + 1, size - 1, size, &whole_taken);
    if (feed(&pieces, (const char *)data + 1, size - 1, piece, &pieces_taken) != progress)
        abort();
    if (progress == REPLY_COMPLETE) {
        if (whole_taken != pieces_taken || whole.reply.code != pieces.reply.code ||
            strcmp(whole.reply.text, pieces.reply.text) != 0)
            abort();
        if (whole.reply.code < 200 || whole.reply.code > 599 || whole.reply.lines == 0 ||
            whole.reply.text_length >= sizeof whole.reply.text ||
            strlen(whole.reply.text) != whole.reply.text_length || data[whole_taken] != '\n')
            abort();
        for (const char *at = whole.reply.text; *at != '\0'; at++)
            if ((unsigned char)*at < ' ' || *at == 127)
                abort();
    }
    return 0;
}
