#include "base/url.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool take_port(const char *text, size_t length, uint16_t *port_r)
{
    unsigned long number = 0;

    if (length == 0 || length > 5 || text[0] == '0')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (unsigned long)(text[i] - '0');
    }
    *port_r = (uint16_t)number;
    return number <= UINT16_MAX;
}

/* host [ ":" port ], the host perhaps in brackets (RFC 3986 section 3.2.2) */
static bool take_authority(const char *text, size_t length, struct url *url)
{
    bool literal = length > 0 && text[0] == '[';
    const char *host = literal ? text + 1 : text;
    const char *end = memchr(host, literal ? ']' : ':', length - (literal ? 1 : 0));

    if (end == NULL && literal)
        return false;
    size_t host_length = end != NULL ? (size_t)(end - host) : length;
    const char *rest = literal ? end + 1 : host + host_length, *stop = text + length;
    if (!literal && host_length > 1 && host[host_length - 1] == '.')
        host_length--;
    if (host_length == 0 || host_length >= sizeof url->host)
        return false;
    for (size_t i = 0; i < host_length; i++)
        url->host[i] = (char)tolower((unsigned char)host[i]);
    url->port = url->tls ? 443 : 80;
    return rest == stop || (*rest == ':' && take_port(rest + 1, (size_t)(stop - rest - 1), &url->port));
}

enum url_result url_parse(const char *text, struct url *url_r)
{
    *url_r = (struct url){.tls = strncasecmp(text, "https://", 8) == 0};
    if (!url_r->tls && strncasecmp(text, "http://", 7) != 0)
        return URL_SCHEME;
    const char *authority = text + (url_r->tls ? 8 : 7);
    size_t length = strcspn(authority, "/?#");
    const char *path = authority + length;

    if (memchr(authority, '@', length) != NULL)
        return URL_USER;
    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 127 || *at == '#')
            return URL_CHARACTERS;
    if (!take_authority(authority, length, url_r) || strlen(path) + 2 > sizeof url_r->path)
        return URL_PLACE;
    snprintf(url_r->path, sizeof url_r->path, "%s%s", *path == '/' ? "" : "/", path);
    return URL_OK;
}
