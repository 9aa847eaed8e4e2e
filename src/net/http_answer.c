#include "net/http_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mail_date.h"
#include "base/utf8.h"
#include "base/xalloc.h"

#define MASK "********"
#define DESCRIBED_MAX 1024 /* bytes of a body that are worth a look for text */

void http_answer_reset(struct http_answer *answer, size_t body_max)
{
    if (answer->body != NULL)
        explicit_bzero(answer->body, answer->length);
    free(answer->body);
    *answer = (struct http_answer){.body_max = body_max};
}

/* --- the head --------------------------------------------------------------------------------------- */

/* #( codings [ OWS ";" OWS "q=" qvalue ] ) */
static bool lists_gzip(const char *value, const char *end)
{
    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *stop = comma != NULL ? comma : end;
        while (value < stop && (*value == ' ' || *value == '\t'))
            value++;
        size_t word = 0;
        while (value + word < stop && strchr("; \t\r\n", value[word]) == NULL)
            word++;
        if ((word == 4 && strncasecmp(value, "gzip", 4) == 0) ||
            (word == 6 && strncasecmp(value, "x-gzip", 6) == 0)) {
            const char *weight = memmem(value, (size_t)(stop - value), "q=", 2);
            for (const char *at = weight; at != NULL && at < stop; at++)
                if (*at >= '1' && *at <= '9')
                    return true;
            return weight == NULL;
        }
        value = stop + 1;
    }
    return false;
}

static bool has_name(const char *line, size_t length, const char *name)
{
    size_t name_length = strlen(name);

    return length > name_length && strncasecmp(line, name, name_length) == 0 && line[name_length] == ':';
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), which is a date of mail, too; the two older forms
 * say nothing. */
static int64_t read_date(const char *value, size_t length)
{
    char text[40];

    snprintf(text, sizeof text, "%.*s", (int)(length < 39 ? length : 39), value);
    return mail_date_read(text);
}

bool http_answer_head(struct http_answer *answer, int status, const char *line, size_t length)
{
    static const char codings[] = "Accept-Encoding";

    answer->head_size += length;
    if (answer->head_size > HTTP_HEAD_MAX)
        return false;
    if (answer->status != 0) /* a trailer */
        return true;
    if (has_name(line, length, codings))
        answer->takes_gzip = lists_gzip(line + sizeof codings, line + length);
    if (has_name(line, length, "Date"))
        answer->date_s = read_date(line + sizeof "Date", length - sizeof "Date");
    if (length == 0 || line[0] == '\r' || line[0] == '\n') {
        if (status >= 200)
            answer->status = status;
        else
            return ++answer->interim <= HTTP_INTERIM_MAX;
    }
    return true;
}

/* Not by realloc(): it would leave copies of what may be secret. */
static void grow(struct http_answer *answer, size_t needed)
{
    size_t room = needed > 2 * answer->room ? needed : 2 * answer->room;
    char *grown = xmalloc(room);

    if (answer->body != NULL) {
        memcpy(grown, answer->body, answer->length);
        explicit_bzero(answer->body, answer->length);
        free(answer->body);
    }
    answer->body = grown;
    answer->room = room;
}

bool http_answer_body(struct http_answer *answer, const char *data, size_t length)
{
    bool fits = length <= answer->body_max - answer->length;

    if (!fits)
        length = answer->body_max - answer->length;
    if (answer->length + length + 1 > answer->room)
        grow(answer, answer->length + length + 1);
    memcpy(answer->body + answer->length, data, length);
    answer->length += length;
    answer->body[answer->length] = '\0';
    return fits;
}

/* --- what is shown to people -------------------------------------------------------------------------- */

/* The length of the secret that text begins with; 0: none. */
static size_t secret_at(const char *text, size_t length, const char *const *secrets)
{
    for (; secrets != NULL && *secrets != NULL; secrets++) {
        size_t secret = strlen(*secrets);
        if (secret > 0 && secret <= length && memcmp(text, *secrets, secret) == 0)
            return secret;
    }
    return 0;
}

char *http_mask(const char *text, size_t length, const char *const *secrets, size_t *masked_r)
{
    char *masked = xmalloc(length * sizeof MASK + 1);
    size_t used = 0;

    for (size_t at = 0; at < length;) {
        size_t secret = secret_at(text + at, length - at, secrets);
        if (secret > 0) {
            memcpy(masked + used, MASK, sizeof MASK - 1);
            used += sizeof MASK - 1;
            at += secret;
        } else {
            masked[used++] = text[at++];
        }
    }
    *masked_r = used;
    return masked;
}

void http_answer_describe(struct http_answer *answer, const char *const *secrets)
{
    size_t length = answer->length, masked_length, cut = 0;
    int used = snprintf(answer->text, sizeof answer->text, "HTTP %d", answer->status);

    if (answer->body == NULL)
        return;
    if (length > DESCRIBED_MAX || !answer->whole) /* the beginning of a secret at the cut would be shown */
        for (const char *const *secret = secrets; secret != NULL && *secret != NULL; secret++)
            cut = strlen(*secret) > cut ? strlen(*secret) : cut;
    length = length > DESCRIBED_MAX + cut ? DESCRIBED_MAX + cut : length;
    AUTO_FREE char *masked = http_mask(answer->body, length, secrets, &masked_length);
    const char *at = masked;
    masked_length -= cut < masked_length ? cut : masked_length;
    while (masked_length > 0 && *at != '\0' && strchr(" \t\r\n", *at) != NULL) {
        at++;
        masked_length--;
    }
    if (masked_length == 0 || used < 0 || (size_t)used + 3 > sizeof answer->text)
        return;
    memcpy(answer->text + used, ": ", 3);
    utf8_clean(answer->text + used + 2, sizeof answer->text - (size_t)used - 2, at, masked_length);
}
