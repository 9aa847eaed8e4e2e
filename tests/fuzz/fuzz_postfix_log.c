/* Whatever a log holds, the parser stays within the line, and so does every slice that it returns; of a line
 * wrapped in JSON within the shipper's buffer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "postlog/log_shipper.h"
#include "postlog/log_time.h"
#include "postlog/postfix_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(struct log_slice slice, const char *line, size_t size)
{
    if (slice.length > 0 && (slice.at < line || slice.at + slice.length > line + size))
        abort();
}

static void check(const struct postfix_log_line *parsed, const char *line, size_t size)
{
    const struct log_slice slices[] = {
        parsed->stamp,   parsed->host, parsed->name,   parsed->program,  parsed->from,    parsed->client,
        parsed->orig_id, parsed->uuid, parsed->to,     parsed->relay,    parsed->orig_to, parsed->dsn,
        parsed->reason,  parsed->tls,  parsed->delays, parsed->queue_id, parsed->words};
    struct postfix_log_reply reply;
    struct log_time log_time = {.reference_ms = INT64_C(1767312000000)};

    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        within(slices[i], line, size);
    if (parsed->kind == POSTFIX_LOG_DELIVERY && parsed->queue_id.length == 0)
        abort();
    if (parsed->kind == POSTFIX_LOG_UUID && !uuid_valid(parsed->uuid.at, parsed->uuid.length))
        abort();
    postfix_log_reply(parsed, &reply);
    within(reply.text, line, size);
    within(postfix_log_queued_as(parsed), line, size);
    log_time_parse(&log_time, parsed->stamp);
}

/* Read every byte of what points into the shipper's buffer: the sanitizer knows its end. */
static void touch(const struct postfix_log_line *parsed)
{
    const struct log_slice slices[] = {parsed->stamp,  parsed->host,   parsed->queue_id,
                                       parsed->uuid,   parsed->to,     parsed->from,
                                       parsed->reason, parsed->client, parsed->words};
    static volatile unsigned char sum;

    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        for (size_t j = 0; j < slices[i].length; j++)
            sum = (unsigned char)(sum + (unsigned char)slices[i].at[j]);
}

/* The input as lines of a container's log, joined where they are parts. */
static void take_lines(struct log_pieces *pieces, struct log_shipper *shipper, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        struct log_slice line = {text + at, newline != NULL ? (size_t)(newline - text) - at : size - at};
        struct postfix_log_line parsed;

        at += line.length + 1;
        if (!log_pieces_take(pieces, &line))
            continue;
        postfix_log_parse(line.at, line.length, &parsed);
        check(&parsed, line.at, line.length);
        if (parsed.kind == POSTFIX_LOG_FOREIGN &&
            log_shipper_parse(shipper, pieces, line.at, line.length, &parsed))
            touch(&parsed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct log_shipper shipper;
    static struct log_pieces pieces;
    struct postfix_log_line parsed;
    char *line = malloc(size ? size : 1); /* a copy of exact size, so that the sanitizer sees its end */

    if (line == NULL)
        return 0;
    if (size > 0)
        memcpy(line, data, size);
    postfix_log_parse(line, size, &parsed);
    check(&parsed, line, size);
    postfix_log_parse_message("postfix/smtp", 12, line, size, &parsed);
    parsed.name = parsed.program = (struct log_slice){NULL, 0}; /* of the tag, not of the line */
    check(&parsed, line, size);
    if (log_shipper_parse(&shipper, &pieces, line, size, &parsed))
        touch(&parsed);
    take_lines(&pieces, &shipper, line, size);
    log_pieces_clear(&pieces); /* an input may not depend on the last one */
    shipper.ends_lines = false;
    free(line);
    return 0;
}
