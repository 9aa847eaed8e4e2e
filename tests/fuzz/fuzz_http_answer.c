/*
 * Answers of HTTP servers, as libcurl hands them over: heads line by line, then bodies in pieces of any size.
 * Whatever comes, it stays within bounds, and what is shown to people is one line of clean UTF-8 without the
 * key. Input: the key up to the first NUL, then the answer.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xalloc.h"
#include "net/http_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 2000

/* Where the body begins. */
static size_t feed_heads(struct http_answer *answer, const char *text, size_t length)
{
    size_t at = 0;
    int status = 0;

    while (at < length && answer->status == 0) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line = end != NULL ? (size_t)(end - text) - at + 1 : length - at;
        if (line > 12 && memcmp(text + at, "HTTP/1.1 ", 9) == 0)
            status = atoi(strndupa(text + at + 9, 3));
        if (!http_answer_head(answer, status, text + at, line))
            break;
        at += line;
    }
    return at;
}

static void check_text(const struct http_answer *answer, const char *key)
{
    size_t length = strnlen(answer->text, sizeof answer->text);

    if (length == sizeof answer->text)
        abort();
    for (size_t at = 0; at < length;) {
        size_t sequence = utf8_sequence(answer->text + at, length - at);
        if (sequence == 0 || (unsigned char)answer->text[at] < ' ' || answer->text[at] == 127)
            abort();
        at += sequence;
    }
    /* "HTTP 422: " and the mask are not the answer's; a byte that is no character is replaced by others */
    for (const char *at = key; *at != '\0'; at++)
        if (strchr("* HTP:0123456789", *at) != NULL || (unsigned char)*at < ' ' || (unsigned char)*at > 126)
            return;
    if (strlen(key) >= 4 && strstr(answer->text, key) != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    size_t key_length = end != NULL ? (size_t)(end - data) : 0;
    AUTO_FREE char *key = xstrndup((const char *)data, key_length);
    const char *text = (const char *)data + (end != NULL ? key_length + 1 : 0);
    size_t length = size - (end != NULL ? key_length + 1 : 0), step = size > 0 ? data[size - 1] % 61 + 1 : 1;
    struct http_answer answer = {0};

    http_answer_reset(&answer, BODY_MAX);
    for (size_t at = feed_heads(&answer, text, length); at < length; at += step) {
        size_t piece = length - at < step ? length - at : step;
        answer.whole = http_answer_body(&answer, text + at, piece);
        if (!answer.whole)
            break;
    }
    if (answer.length > BODY_MAX || (answer.body != NULL && answer.body[answer.length] != '\0'))
        abort();
    http_answer_describe(&answer, (const char *[]){key, NULL});
    check_text(&answer, key);
    http_answer_reset(&answer, 0);
    return 0;
}
