#include "net/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define RETRY_AFTER_MAX_S 86400 /* what is above is no reasonable wish */

void http_answer_start(struct http_answer *answer)
{
    memset(answer, 0, offsetof(struct http_answer, line));
    answer->line_length = answer->head_size = 0;
    answer->interim = 0;
    answer->has_length = answer->chunked = answer->other_coding = false;
    answer->length = answer->left = 0;
}

/* --- the head ------------------------------------------------------------------------------------ */

/* status-line = HTTP-version SP 3DIGIT SP [ reason-phrase ] (RFC 9112 section 4); a missing last SP is
 * forgiven. */
static bool take_status_line(struct http_answer *answer)
{
    const char *line = answer->line;

    if (answer->line_length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ' || (answer->line_length > 12 && line[12] != ' '))
        return false;
    answer->status = 0;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        answer->status = answer->status * 10 + (line[i] - '0');
    }
    answer->keep = line[7] == '1';
    answer->state = HTTP_HEADER;
    return answer->status >= 100 && answer->status != 101; /* nobody asked for another protocol */
}

static bool take_length(struct http_answer *answer, const char *value)
{
    char *end;
    unsigned long long length = strtoull(value, &end, 10);

    if (*value < '0' || *value > '9' || *end != '\0' || length > INT64_MAX ||
        (answer->has_length && answer->length != length))
        return false; /* two lengths: RFC 9112 section 6.3 */
    answer->has_length = true;
    answer->length = length;
    return true;
}

/* #( codings [ OWS ";" OWS "q=" qvalue ] ) */
static bool lists_gzip(const char *value)
{
    size_t length;

    for (const char *at = value + strspn(value, ", \t"); *at != '\0';
         at += length, at += strspn(at, ", \t")) {
        length = strcspn(at, ",");
        size_t word = strcspn(at, ",; \t");
        if ((word == 4 && strncasecmp(at, "gzip", 4) == 0) ||
            (word == 6 && strncasecmp(at, "x-gzip", 6) == 0)) {
            const char *weight = memmem(at, length, "q=", 2);
            const char *more_than_zero = weight != NULL ? strpbrk(weight, "123456789") : at;
            return more_than_zero != NULL && more_than_zero < at + length;
        }
    }
    return false;
}

static bool take_header(struct http_answer *answer)
{
    char *line = answer->line, *colon = memchr(line, ':', answer->line_length);

    if (colon == NULL || colon == line)
        return line[0] == ' ' ||
               line[0] == '\t'; /* a folded line: obsolete, and of none of the fields below */
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (char *end = line + answer->line_length; end > value && (end[-1] == ' ' || end[-1] == '\t');)
        *--end = '\0';
    if (strcasecmp(line, "Content-Length") == 0)
        return take_length(answer, value);
    if (strcasecmp(line, "Transfer-Encoding") == 0) {
        answer->chunked = strcasecmp(value, "chunked") == 0;
        answer->other_coding = !answer->chunked;
    } else if (strcasecmp(line, "Connection") == 0 && strcasestr(value, "close") != NULL) {
        answer->keep = false;
    } else if (strcasecmp(line, "Accept-Encoding") == 0) {
        answer->takes_gzip = lists_gzip(value);
    } else if (strcasecmp(line, "Retry-After") == 0) {
        snprintf(answer->retry_after, sizeof answer->retry_after, "%s", value);
    }
    return true;
}

/* The blank line: what follows (RFC 9112 section 6.3)? */
static enum http_progress end_of_head(struct http_answer *answer)
{
    if (answer->status < 200) {
        unsigned interim = answer->interim + 1;
        http_answer_start(answer);
        answer->begun = true;
        answer->interim = interim;
        return interim <= HTTP_INTERIM_MAX ? HTTP_MORE : HTTP_BAD;
    }
    answer->head_done = true;
    if (answer->status == 204 || answer->status == 304)
        return HTTP_DONE;
    if (answer->chunked) {
        answer->state = HTTP_CHUNK_SIZE;
    } else if (answer->has_length && !answer->other_coding) {
        answer->left = answer->length;
        answer->state = HTTP_BODY_SIZED;
        if (answer->left == 0)
            return HTTP_DONE;
    } else {
        answer->state = HTTP_BODY_TO_CLOSE;
        answer->keep = false;
    }
    return HTTP_MORE;
}

/* --- the body ------------------------------------------------------------------------------------ */

static bool take_chunk_size(struct http_answer *answer)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    size_t count = strspn(answer->line, digits);

    /* what follows is an extension, or white space that some servers pad with */
    if (count == 0 || count > 8 ||
        (answer->line[count] != '\0' && strchr("; \t", answer->line[count]) == NULL))
        return false;
    answer->left = strtoull(answer->line, NULL, 16);
    answer->state = answer->left > 0 ? HTTP_CHUNK_DATA : HTTP_TRAILER;
    return true;
}

/* Up to what is left of body or chunk; returns how much. */
static size_t take_body(struct http_answer *answer, const char *data, size_t size)
{
    size_t room = sizeof answer->body - answer->body_kept;

    if (answer->state != HTTP_BODY_TO_CLOSE) {
        if (size > answer->left)
            size = (size_t)answer->left;
        answer->left -= size;
    }
    memcpy(answer->body + answer->body_kept, data, size < room ? size : room);
    answer->body_kept += size < room ? size : room;
    answer->body_size += size;
    return size;
}

static enum http_progress end_of_line(struct http_answer *answer)
{
    bool blank = answer->line_length == 0, well = true;

    switch (answer->state) {
    case HTTP_STATUS_LINE:
        well = take_status_line(answer);
        break;
    case HTTP_HEADER:
        if (blank)
            return end_of_head(answer);
        well = take_header(answer);
        break;
    case HTTP_CHUNK_SIZE:
        well = take_chunk_size(answer);
        break;
    case HTTP_CHUNK_END:
        answer->state = HTTP_CHUNK_SIZE;
        well = blank;
        break;
    default: /* HTTP_TRAILER */
        return blank ? HTTP_DONE : HTTP_MORE;
    }
    return well ? HTTP_MORE : HTTP_BAD;
}

/* One byte of a line; LF alone ends it, too (RFC 9112 section 2.2). */
static enum http_progress take_line_byte(struct http_answer *answer, char byte,
                                         void (*line_seen)(void *context, const char *line, size_t length),
                                         void *context)
{
    enum http_progress progress = HTTP_MORE;

    if (++answer->head_size > HTTP_HEAD_MAX)
        return HTTP_BAD;
    if (byte == '\n') {
        if (answer->line_length > 0 && answer->line[answer->line_length - 1] == '\r')
            answer->line_length--;
        answer->line[answer->line_length] = '\0';
        if (line_seen != NULL && answer->state <= HTTP_HEADER && answer->line_length > 0)
            line_seen(context, answer->line, answer->line_length);
        progress = end_of_line(answer);
        answer->line_length = 0;
    } else if (byte == '\0' || answer->line_length == sizeof answer->line - 1) {
        progress = HTTP_BAD;
    } else {
        answer->line[answer->line_length++] = byte;
    }
    return progress;
}

enum http_progress http_answer_feed(struct http_answer *answer, const char *data, size_t size, size_t *used_r,
                                    void (*line_seen)(void *context, const char *line, size_t length),
                                    void *context)
{
    enum http_progress progress = HTTP_MORE;
    size_t at = 0;

    while (at < size && progress == HTTP_MORE) {
        answer->begun = true;
        switch (answer->state) {
        case HTTP_BODY_SIZED:
        case HTTP_CHUNK_DATA:
        case HTTP_BODY_TO_CLOSE:
            at += take_body(answer, data + at, size - at);
            if (answer->body_size > HTTP_BODY_MAX) {
                progress = HTTP_BAD;
            } else if (answer->state != HTTP_BODY_TO_CLOSE && answer->left == 0) {
                progress = answer->state == HTTP_BODY_SIZED ? HTTP_DONE : HTTP_MORE;
                answer->state = HTTP_CHUNK_END;
                answer->head_size = 0;
            }
            break;
        default:
            progress = take_line_byte(answer, data[at++], line_seen, context);
        }
    }
    *used_r = at;
    return progress;
}

enum http_progress http_answer_end(struct http_answer *answer)
{
    answer->keep = false;
    return answer->head_done && answer->state == HTTP_BODY_TO_CLOSE ? HTTP_DONE : HTTP_BAD;
}

/* --- values ----------------------------------------------------------------------------------------- */

int64_t http_retry_after_ms(const char *value, int64_t now_s)
{
    /* RFC 9110 section 5.6.7: the preferred format, and two that a recipient has to understand */
    static const char *const formats[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                          "%a %b %e %H:%M:%S %Y"};
    int64_t seconds = 0;

    if (*value != '\0' && value[strspn(value, "0123456789")] == '\0')
        seconds = strlen(value) < 10 ? atol(value) : RETRY_AFTER_MAX_S;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0] && seconds == 0; i++) {
        struct tm utc = {0};
        const char *end = strptime(value, formats[i], &utc);
        if (end != NULL && *end == '\0')
            seconds = timegm(&utc) - now_s;
    }
    if (seconds <= 0)
        return 0;
    return 1000 * (seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S);
}

bool http_url_parse(const char *url, struct http_url *url_r)
{
    *url_r = (struct http_url){.tls = strncasecmp(url, "https://", 8) == 0};
    if (!url_r->tls && strncasecmp(url, "http://", 7) != 0)
        return false;
    const char *authority = url + (url_r->tls ? 8 : 7);
    size_t length = strcspn(authority, "/?#"), path_length = strcspn(authority + length, "#");
    const char *path = authority + length, *host = authority, *port = NULL;

    if (length == 0 || length >= sizeof url_r->authority || memchr(authority, '@', length) != NULL ||
        path_length + 2 > sizeof url_r->path)
        return false;
    size_t host_length = strcspn(authority, ":/?#");
    if (*authority == '[') {
        host = authority + 1;
        host_length = strcspn(host, "]/");
        if (host[host_length] != ']')
            return false;
        port = host + host_length + 1;
    } else {
        port = authority + host_length;
    }
    if (host_length == 0 || host_length >= sizeof url_r->host)
        return false;
    url_r->port = url_r->tls ? 443 : 80;
    if (*port == ':') {
        char *end;
        unsigned long number = strtoul(port + 1, &end, 10);
        if (port[1] < '0' || port[1] > '9' || end != path || number == 0 || number > 65535)
            return false;
        url_r->port = (uint16_t)number;
    } else if (port != path) {
        return false;
    }
    memcpy(url_r->host, host, host_length);
    memcpy(url_r->authority, authority, length);
    snprintf(url_r->path, sizeof url_r->path, "%s%.*s", *path == '/' ? "" : "/", (int)path_length, path);
    for (const char *at = url; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 127)
            return false;
    return true;
}
