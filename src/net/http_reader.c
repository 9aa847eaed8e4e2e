#include "net/http_reader.h"

#include <string.h>
#include <strings.h>

void http_reader_begin(struct http_reader *reader, struct http_answer *answer)
{
    reader->answer = answer;
    reader->seen = NULL;
    reader->place = HTTP_AT_STATUS;
    reader->line_length = 0;
}

/* --- lines --------------------------------------------------------------------------------------------- */

/* HTTP-version SP 3DIGIT SP [ reason-phrase ] */
static bool read_status(struct http_reader *reader, const char *line, size_t length)
{
    if (length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ')
        return false;
    reader->status = 0;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        reader->status = reader->status * 10 + line[i] - '0';
    }
    reader->stays = line[7] == '1';
    reader->chunked = reader->coded = reader->has_length = false;
    reader->left = 0;
    return reader->status >= 100 && (length == 12 || strchr(" \r\n", line[12]) != NULL);
}

/* The value of a field of this name, without white space around it. */
static bool is_field(const char *line, size_t length, const char *name, const char **value_r, size_t *size_r)
{
    size_t name_length = strlen(name);

    if (length <= name_length || line[name_length] != ':' || strncasecmp(line, name, name_length) != 0)
        return false;
    const char *value = line + name_length + 1, *end = line + length;
    while (value < end && strchr(" \t", *value) != NULL)
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    *value_r = value;
    *size_r = (size_t)(end - value);
    return true;
}

static int digit_of(char byte, int base)
{
    int value = byte >= '0' && byte <= '9'   ? byte - '0'
                : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                             : base;

    return value < base ? value : -1;
}

/* Digits, at least one, below 2^60; returns how many. */
static size_t read_number(const char *text, size_t length, int base, uint64_t *number_r)
{
    size_t count = 0;

    *number_r = 0;
    for (int digit; count < length && (digit = digit_of(text[count], base)) >= 0; count++) {
        if (*number_r >> 55 != 0)
            return 0;
        *number_r = *number_r * (uint64_t)base + (uint64_t)digit;
    }
    return count;
}

/* A list that names this word, without regard to case. */
static bool lists(const char *value, size_t length, const char *word)
{
    size_t word_length = strlen(word);

    for (size_t at = 0; at < length; at++) {
        size_t begin = at;
        while (at < length && strchr(", \t;", value[at]) == NULL)
            at++;
        if (at - begin == word_length && strncasecmp(value + begin, word, word_length) == 0)
            return true;
    }
    return false;
}

static bool read_field(struct http_reader *reader, const char *line, size_t length)
{
    const char *value;
    uint64_t number;
    size_t size;

    if (is_field(line, length, "Content-Length", &value, &size)) {
        if (read_number(value, size, 10, &number) != size || size == 0 ||
            (reader->has_length && reader->left != number))
            return false;
        reader->has_length = true;
        reader->left = number;
    } else if (is_field(line, length, "Transfer-Encoding", &value, &size)) {
        /* nothing but "chunked", and once: nobody asked for another coding */
        if (reader->coded || size != 7 || strncasecmp(value, "chunked", 7) != 0)
            return false;
        reader->chunked = reader->coded = true;
    } else if (is_field(line, length, "Connection", &value, &size) && lists(value, size, "close")) {
        reader->stays = false;
    }
    return true;
}

/* What follows a head (RFC 9112 section 6.3). */
static enum http_progress end_head(struct http_reader *reader)
{
    if (reader->status < 200) {
        reader->place = HTTP_AT_STATUS;
        return HTTP_MORE;
    }
    if (reader->status == 204 || reader->status == 304)
        return HTTP_WHOLE;
    if (reader->chunked && reader->has_length)
        return HTTP_NONSENSE; /* somebody between us and the server may read it the other way */
    if (!reader->chunked && reader->has_length && reader->left == 0)
        return HTTP_WHOLE;
    reader->place = reader->chunked ? HTTP_AT_SIZE : reader->has_length ? HTTP_AT_BODY : HTTP_UNTIL_CLOSE;
    return HTTP_MORE;
}

static bool is_blank(const char *line, size_t length)
{
    return length == 1 || (length == 2 && line[0] == '\r');
}

static bool keep_line(struct http_reader *reader, const char *line, size_t length)
{
    if (reader->seen != NULL)
        reader->seen(reader->context, line, length);
    return http_answer_head(reader->answer, reader->status, line, length);
}

/* A whole line, its end included. */
static enum http_progress take_line(struct http_reader *reader, const char *line, size_t length)
{
    size_t digits;

    switch (reader->place) {
    case HTTP_AT_STATUS:
        if (!read_status(reader, line, length))
            return HTTP_NONSENSE;
        reader->place = HTTP_AT_FIELD;
        return keep_line(reader, line, length) ? HTTP_MORE : HTTP_TOO_MUCH;
    case HTTP_AT_FIELD:
        if (!keep_line(reader, line, length))
            return HTTP_TOO_MUCH;
        if (is_blank(line, length))
            return end_head(reader);
        return read_field(reader, line, length) ? HTTP_MORE : HTTP_NONSENSE;
    case HTTP_AT_SIZE:
        digits = read_number(line, length, 16, &reader->left);
        if (digits == 0 || strchr(" \t;\r\n", line[digits]) == NULL)
            return HTTP_NONSENSE;
        reader->place = reader->left > 0 ? HTTP_AT_CHUNK : HTTP_AT_TRAILER;
        return HTTP_MORE;
    case HTTP_AT_END:
        reader->place = HTTP_AT_SIZE;
        return is_blank(line, length) ? HTTP_MORE : HTTP_NONSENSE;
    default: /* HTTP_AT_TRAILER */
        if (is_blank(line, length))
            return HTTP_WHOLE;
        return keep_line(reader, line, length) ? HTTP_MORE : HTTP_TOO_MUCH;
    }
}

/* --- pieces -------------------------------------------------------------------------------------------- */

static size_t feed_line(struct http_reader *reader, const char *bytes, size_t length,
                        enum http_progress *progress_r)
{
    const char *end = memchr(bytes, '\n', length);
    size_t part = end != NULL ? (size_t)(end - bytes) + 1 : length;

    if (part > sizeof reader->line - reader->line_length) {
        *progress_r = HTTP_TOO_MUCH;
        return part;
    }
    memcpy(reader->line + reader->line_length, bytes, part);
    reader->line_length += part;
    if (end != NULL) {
        size_t line = reader->line_length;
        reader->line_length = 0;
        *progress_r = take_line(reader, reader->line, line);
    }
    return part;
}

static size_t feed_body(struct http_reader *reader, const char *bytes, size_t length,
                        enum http_progress *progress_r)
{
    bool bounded = reader->place != HTTP_UNTIL_CLOSE;
    size_t part = bounded && length > reader->left ? (size_t)reader->left : length;

    if (!http_answer_body(reader->answer, bytes, part))
        *progress_r = HTTP_TOO_MUCH;
    if (!bounded)
        return part;
    reader->left -= part;
    if (reader->left == 0 && *progress_r == HTTP_MORE) {
        if (reader->place == HTTP_AT_BODY)
            *progress_r = HTTP_WHOLE;
        else
            reader->place = HTTP_AT_END;
    }
    return part;
}

enum http_progress http_reader_feed(struct http_reader *reader, const char *bytes, size_t length)
{
    enum http_progress progress = HTTP_MORE;
    size_t at = 0;

    while (at < length && progress == HTTP_MORE) {
        bool body = reader->place == HTTP_AT_BODY || reader->place == HTTP_AT_CHUNK ||
                    reader->place == HTTP_UNTIL_CLOSE;
        at += (body ? feed_body : feed_line)(reader, bytes + at, length - at, &progress);
    }
    if (progress != HTTP_MORE && (progress != HTTP_WHOLE || at < length))
        reader->stays = false;
    return progress;
}

enum http_progress http_reader_end(struct http_reader *reader)
{
    reader->stays = false;
    return reader->place == HTTP_UNTIL_CLOSE ? HTTP_WHOLE : HTTP_NONSENSE;
}
