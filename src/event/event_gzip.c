#include "event/event_gzip.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/xalloc.h"

#define GZIP_WINDOW (15 + 16) /* zlib's way to ask for a gzip header */

char *event_gzip(const char *body, size_t length, size_t *packed_length_r)
{
    z_stream stream = {
        .next_in = (Bytef *)(uintptr_t)body, .avail_in = (uInt)length, .avail_out = (uInt)length};

    if (length > UINT_MAX || deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MAX_MEM_LEVEL,
                                          Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    char *packed = xmalloc(length);
    stream.next_out = (Bytef *)packed;
    bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    *packed_length_r = length - stream.avail_out;
    deflateEnd(&stream);
    if (whole)
        return packed;
    free(packed);
    return NULL;
}
