/*
 * Answers of HTTP servers as the bytes of a connection. Whatever comes, head and body stay within bounds, an
 * answer that is whole has a final status, and it is the same however the bytes are cut into pieces. Input: a
 * byte that says how they are cut, then the answer.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 2000

static enum http_progress read_in_pieces(struct http_answer *answer, const char *text, size_t length,
                                         size_t piece, bool *stays_r)
{
    static struct http_reader reader;
    enum http_progress progress = HTTP_MORE;

    http_answer_reset(answer, BODY_MAX);
    http_reader_begin(&reader, answer);
    for (size_t at = 0; at < length && progress == HTTP_MORE; at += piece)
        progress = http_reader_feed(&reader, text + at, length - at < piece ? length - at : piece);
    if (progress == HTTP_MORE)
        progress = http_reader_end(&reader);
    *stays_r = reader.stays;
    if (answer->length > BODY_MAX || (progress == HTTP_WHOLE && answer->status < 200) || answer->status > 999)
        abort();
    return progress;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_answer whole, cut;
    bool whole_stays, cut_stays;

    if (size < 2)
        return 0;
    const char *text = (const char *)data + 1;
    enum http_progress progress = read_in_pieces(&whole, text, size - 1, size, &whole_stays);
    if (read_in_pieces(&cut, text, size - 1, data[0] % 7 + 1u, &cut_stays) != progress ||
        cut.status != whole.status || cut.length != whole.length || (whole_stays && !cut_stays) ||
        (cut.length > 0 && memcmp(cut.body, whole.body, cut.length) != 0))
        abort();
    http_answer_reset(&whole, 0);
    http_answer_reset(&cut, 0);
    return 0;
}
