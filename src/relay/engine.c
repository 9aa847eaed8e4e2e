#include "relay/engine.h"

#include <string.h>

#include "base/address.h"
#include "relay/header_shape.h"

/* libESMTP keeps a whole line in memory. Lines this long are no mail that anybody wrote. */
#define LINE_MAX_ESMTP (64 * 1024)
/* Below this size no line can be too long to keep. */
#define SCAN_FROM (1024 * 1024)

static bool has_long_line(const struct relay_message *message)
{
    char buffer[16384];
    uint64_t offset = 0, line_start = 0;

    if (message->size < SCAN_FROM)
        return false;
    for (;;) {
        ssize_t got = message->read_at(message->context, offset, buffer, sizeof buffer);
        const char *at = buffer;

        if (got <= 0)
            return false; /* a failure shows again when the message is sent */
        while ((at = memchr(at, '\n', (size_t)(buffer + got - at))) != NULL) {
            uint64_t end = offset + (uint64_t)(at - buffer);
            if (end - line_start > LINE_MAX_ESMTP)
                return true;
            line_start = end + 1;
            at++;
        }
        offset += (uint64_t)got;
        if (offset - line_start > LINE_MAX_ESMTP)
            return true;
    }
}

unsigned engine_needs(const struct relay_request *request)
{
    unsigned needs = 0;

    if (!address_is_ascii(request->sender) || !address_is_ascii(request->recipient))
        needs |= ENGINE_NEED_SMTPUTF8;
    if (header_shape_trouble(request->message->header, request->message->header_length) != NULL)
        needs |= ENGINE_NEED_EXACT_HEADER;
    if (has_long_line(request->message))
        needs |= ENGINE_NEED_LONG_LINES;
    return needs;
}

const struct engine *engine_choose(enum config_engine configured, unsigned needs)
{
    static const struct engine *const engines[] = {&engine_esmtp, &engine_curl};

    if (configured == ENGINE_LIBCURL)
        return &engine_curl;
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++)
        if ((needs & ~engines[i]->serves) == 0)
            return engines[i];
    return &engine_curl;
}
