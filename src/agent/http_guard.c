#include "agent/http_guard.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UNIX_PREFIX "unix:"
#define HOST_SIZE 256

const char *http_guard_unix_path(const char *listen)
{
    return strncmp(listen, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0 ? listen + sizeof UNIX_PREFIX - 1 : NULL;
}

/* Host without its port and brackets; false when it is no host:port (RFC 9110 section 7.2). */
static bool host_of(const char *authority, char host_r[HOST_SIZE])
{
    size_t length = strlen(authority);
    const char *end, *begin = authority;

    if (*authority == '[') {
        begin = authority + 1;
        end = strchr(begin, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        length = (size_t)(end - begin);
    } else {
        length = strcspn(authority, ":");
    }
    const char *port = begin + length + (*authority == '[');
    if (length == 0 || length >= HOST_SIZE ||
        (*port == ':' && port[strspn(port + 1, "0123456789") + 1] != '\0'))
        return false;
    memcpy(host_r, begin, length);
    host_r[length] = '\0';
    return true;
}

static bool is_address(const char *host)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool is_loopback_address(const char *host)
{
    unsigned char bytes[16];
    static const unsigned char loopback[16] = {[15] = 1};

    if (inet_pton(AF_INET, host, bytes) == 1)
        return bytes[0] == 127;
    return inet_pton(AF_INET6, host, bytes) == 1 && memcmp(bytes, loopback, sizeof bytes) == 0;
}

static bool is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || is_loopback_address(host);
}

enum http_place http_guard_place(const char *listen)
{
    char host[HOST_SIZE];

    if (http_guard_unix_path(listen) != NULL)
        return HTTP_ON_UNIX;
    return host_of(listen, host) && is_loopback(host) ? HTTP_ON_LOOPBACK : HTTP_ON_NETWORK;
}

static bool is_name(const char *host, const char *const *names)
{
    while (*names != NULL && strcasecmp(host, *names) != 0)
        names++;
    return *names != NULL;
}

static bool is_open_path(const char *path)
{
    return strcmp(path, "/health") == 0 || strcmp(path, "/metrics") == 0;
}

static bool is_ours(const struct http_guard_facts *facts)
{
    char host[HOST_SIZE];

    if (facts->place == HTTP_ON_UNIX || facts->host == NULL ||
        (facts->place == HTTP_ON_NETWORK && is_open_path(facts->path)))
        return true;
    if (!host_of(facts->host, host))
        return false;
    return is_loopback(host) ||
           (facts->place == HTTP_ON_NETWORK && (is_address(host) || is_name(host, facts->names)));
}

/* "https://HOST" of this very Host. */
static bool is_same_origin(const struct http_guard_facts *facts)
{
    const char *authority = strstr(facts->origin, "://");

    return authority != NULL && facts->host != NULL && strcasecmp(authority + 3, facts->host) == 0;
}

const char *http_guard_refuses(const struct http_guard_facts *facts)
{
    if (!is_ours(facts))
        return "this is not the host that was asked for: use the address of listen, or its IP address";
    if (facts->origin != NULL && !is_same_origin(facts))
        return "requests from other pages are refused";
    return NULL;
}
