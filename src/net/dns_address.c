#include "net/dns_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "base/xalloc.h"

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons(port);
}

bool dns_address_from(struct dns_address *address_r, const struct sockaddr *from, socklen_t length,
                      uint16_t port)
{
    *address_r = (struct dns_address){.length = length};
    if (length > sizeof address_r->address)
        return false;
    memcpy(&address_r->address, from, length);
    set_port(&address_r->address, port);
    return getnameinfo(from, length, address_r->text, sizeof address_r->text, NULL, 0, NI_NUMERICHOST) == 0;
}

int dns_address_literal(const char *host, uint16_t port, struct dns_address *address_r)
{
    size_t length = strlen(host);
    bool bracketed = length >= 2 && host[0] == '[' && host[length - 1] == ']';
    char *bare AUTO_FREE = bracketed ? xstrndup(host + 1, length - 2) : xstrdup(host);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found = NULL;
    struct in_addr ipv4;
    bool ok;

    /* inet_pton() first: getaddrinfo() would take "10.1" and "0x7f000001" for addresses, too */
    if (strchr(bare, ':') == NULL && inet_pton(AF_INET, bare, &ipv4) != 1)
        return bracketed ? -1 : 0;
    if (getaddrinfo(bare, NULL, &hints, &found) != 0)
        return -1;
    ok = dns_address_from(address_r, found->ai_addr, found->ai_addrlen, port);
    freeaddrinfo(found);
    return ok ? 1 : -1;
}
