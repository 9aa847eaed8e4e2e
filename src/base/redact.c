#include "base/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "base/xalloc.h"

#define SEEN_MAX 32 /* what comes later has the last number */

struct slice {
    const char *at;
    size_t length;
};

/* Addresses and domains that had a number. */
struct seen {
    struct slice items[SEEN_MAX];
    size_t count;
};

static size_t number_of(struct seen *seen, struct slice what)
{
    for (size_t i = 0; i < seen->count; i++)
        if (seen->items[i].length == what.length && strncasecmp(seen->items[i].at, what.at, what.length) == 0)
            return i + 1;
    if (seen->count < SEEN_MAX)
        seen->items[seen->count++] = what;
    return seen->count;
}

/* RFC 5322 section 3.2.3 atext, dots, and bytes above ASCII (RFC 6531). */
static bool is_local(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c > 127 || strchr(".!#$%&'*+-/=?^_`{|}~", c) != NULL;
}

static bool is_domain(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c > 127 || c == '.' || c == '-' || c == '_';
}

/* Where the local part begins that ends before at; at itself when there is none. */
static const char *local_begin(const char *text, const char *at)
{
    const char *begin = at;

    if (begin > text && begin[-1] == '"') {
        for (begin--; begin > text && begin[-1] != '"';)
            begin--;
        return begin > text ? begin - 1 : at;
    }
    while (begin > text && begin[-1] != '\0' && is_local(begin[-1]))
        begin--;
    /* "to=a@b" and "RCPT/a@b" are a key with its value, but a= and a/ may be part of an address, too: all
     * goes */
    return begin;
}

static const char *domain_end(const char *at, const char *end)
{
    const char *stop = at;

    if (at < end && *at == '[') {
        stop = memchr(at, ']', (size_t)(end - at));
        return stop != NULL ? stop + 1 : at;
    }
    while (stop < end && *stop != '\0' && is_domain(*stop))
        stop++;
    while (stop > at && stop[-1] == '.') /* the end of a sentence */
        stop--;
    return stop;
}

/* The next address at or behind from: local part, sign and domain. */
static bool find_address(const char *text, const char *from, const char *end, struct slice *local_r,
                         struct slice *domain_r)
{
    for (const char *at = from; at < end; at++) {
        size_t sign = *at == '@' ? 1 : end - at >= 3 && memcmp(at, "%40", 3) == 0 ? 3 : 0;
        if (sign == 0)
            continue;
        const char *begin = local_begin(from > text ? from : text, at), *stop = domain_end(at + sign, end);
        if (begin == at || stop == at + sign)
            continue;
        *local_r = (struct slice){begin, (size_t)(at - begin)};
        *domain_r = (struct slice){at + sign, (size_t)(stop - at) - sign};
        return true;
    }
    return false;
}

static char *redact(const char *text, size_t length, bool numbered)
{
    const char *end = text + length, *from = text;
    struct seen addresses = {.count = 0}, domains = {.count = 0};
    struct slice local, domain;
    char *raw = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&raw, &size);

    if (out == NULL)
        return xstrdup("");
    while (find_address(text, from, end, &local, &domain)) {
        fwrite(from, 1, (size_t)(local.at - from), out);
        struct slice address = {local.at, (size_t)(domain.at + domain.length - local.at)};
        if (numbered)
            fprintf(out, "user%zu@domain%zu.example", number_of(&addresses, address),
                    number_of(&domains, domain));
        else
            fputs("…@…", out);
        from = domain.at + domain.length;
    }
    fwrite(from, 1, (size_t)(end - from), out);
    fclose(out);
    char *clean = xmalloc(3 * size + 1);
    utf8_clean(clean, 3 * size + 1, raw, size);
    free(raw);
    return clean;
}

char *redact_text(const char *text, size_t length)
{
    return redact(text, length, false);
}

char *redact_numbered(const char *text, size_t length)
{
    return redact(text, length, true);
}

char *redact_log_line(const char *line, size_t length)
{
    AUTO_FREE char *text = redact_text(line, length);
    char *result = xcalloc(1, 2 * strlen(text) + 1), *to = result;

    for (const char *at = text; *at != '\0';) {
        *to++ = *at++;
        const char *close = at - text >= 2 && at[-1] == '<' && at[-2] == '=' ? strchr(at, '>') : NULL;
        if (close != NULL && close > at) { /* "=<…>" */
            memcpy(to, "…", strlen("…"));
            to += strlen("…");
            at = close;
        }
    }
    *to = '\0';
    return result;
}
