#include "relay/reply.h"

#include <ctype.h>
#include <string.h>

#include "base/outcome.h"

void reply_start(struct reply_parser *parser)
{
    parser->reply.code = 0;
    parser->reply.lines = 0;
    parser->reply.text_length = 0;
    parser->reply.text[0] = '\0';
    parser->total = 0;
    parser->line_length = 0;
    parser->line_seen = NULL;
    parser->context = NULL;
}

static void append_text(struct reply *reply, const char *text, size_t length)
{
    for (size_t i = 0; i < length && reply->text_length < sizeof reply->text - 1; i++) {
        unsigned char c = (unsigned char)text[i];
        reply->text[reply->text_length++] = (c < ' ' || c == 127) ? ' ' : text[i];
    }
    reply->text[reply->text_length] = '\0';
}

/* "550-5.1.1 no such user" "550 5.1.1 here" reads better without the second 5.1.1. */
static size_t repeated_enhanced(const struct reply *reply, const char *text, size_t length)
{
    size_t enhanced = outcome_enhanced_length(text, length);

    if (enhanced == 0 || outcome_enhanced_length(reply->text, reply->text_length) != enhanced ||
        memcmp(text, reply->text, enhanced) != 0)
        return 0;
    return enhanced < length ? enhanced + 1 : enhanced;
}

static enum reply_progress take_line(struct reply_parser *parser)
{
    struct reply *reply = &parser->reply;
    const char *line = parser->line, *text;
    size_t length = parser->line_length;
    int code;

    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length < 3 || line[0] < '2' || line[0] > '5' || !isdigit((unsigned char)line[1]) ||
        !isdigit((unsigned char)line[2]) || (length > 3 && line[3] != ' ' && line[3] != '-'))
        return REPLY_MALFORMED;
    code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (reply->lines > 0 && code != reply->code)
        return REPLY_MALFORMED;
    reply->code = code;
    text = line + (length > 3 ? 4 : 3);
    length -= (size_t)(text - line);
    if (parser->line_seen != NULL)
        parser->line_seen(parser->context, reply->lines, text, length);
    if (reply->lines > 0) {
        size_t skip = repeated_enhanced(reply, text, length);
        if (reply->text_length > 0 && length > skip)
            append_text(reply, " ", 1);
        append_text(reply, text + skip, length - skip);
    } else {
        append_text(reply, text, length);
    }
    reply->lines++;
    return text == line + 4 && line[3] == '-' ? REPLY_MORE : REPLY_COMPLETE;
}

enum reply_progress reply_feed(struct reply_parser *parser, const char *data, size_t length, size_t *used_r)
{
    size_t used = 0;

    while (used < length) {
        const char *end = memchr(data + used, '\n', length - used);
        size_t chunk = end != NULL ? (size_t)(end - (data + used)) : length - used;

        if (parser->total + chunk > REPLY_TOTAL_MAX) {
            *used_r = used;
            return REPLY_FLOOD;
        }
        /* code and first words are what counts of a line: its end is cut, or an acceptance would be in doubt
         */
        size_t room = sizeof parser->line - parser->line_length, kept = chunk < room ? chunk : room;
        memcpy(parser->line + parser->line_length, data + used, kept);
        parser->line_length += kept;
        parser->total += chunk + 1;
        used += chunk;
        if (end == NULL)
            break;
        used++;
        *used_r = used;
        enum reply_progress progress = take_line(parser);
        parser->line_length = 0;
        if (progress != REPLY_MORE)
            return progress;
    }
    *used_r = used;
    return REPLY_MORE;
}
