/*
 * url: the parts of an http or https URL (RFC 3986, RFC 9110 section 4.2). What could send a request to
 * another place than it seems, or a part that nothing here would use, is refused: user information, a
 * fragment, spaces, control characters, bytes above 127.
 *
 * Plain values without pointers to anything.
 */
#ifndef SENDPOST_BASE_URL_H
#define SENDPOST_BASE_URL_H

#include <stdbool.h>
#include <stdint.h>

#define URL_HOST_SIZE 256
#define URL_PATH_SIZE 2048

struct url {
    bool tls;                 /* https */
    char host[URL_HOST_SIZE]; /* lower case; an IPv6 address without its brackets, a name without final dot */
    uint16_t port;
    char path[URL_PATH_SIZE]; /* query included, at least "/" */
};

enum url_result {
    URL_OK,
    URL_SCHEME,     /* neither http:// nor https:// */
    URL_USER,       /* holds user information */
    URL_CHARACTERS, /* spaces, control characters, '#', or bytes above 127 */
    URL_PLACE,      /* no host, a port that is none, or too long */
};

enum url_result url_parse(const char *text, struct url *url_r) __attribute__((nonnull));

#endif
