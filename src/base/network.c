#include "base/network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

#define MAPPED_BITS 96

static bool parse_address(unsigned char address_r[16], const char *text, size_t length, bool *ipv4_r)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[INET6_ADDRSTRLEN + 1];

    if (length > 5 && strncasecmp(text, "IPv6:", 5) == 0) {
        text += 5;
        length -= 5;
    }
    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    *ipv4_r = inet_pton(AF_INET, copy, address_r + sizeof mapped) == 1;
    if (*ipv4_r)
        memcpy(address_r, mapped, sizeof mapped);
    return *ipv4_r || inet_pton(AF_INET6, copy, address_r) == 1;
}

static bool parse_bits(const char *at, const char *end, unsigned most, unsigned *bits_r)
{
    if (at == end || end - at > 3)
        return false;
    for (*bits_r = 0; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        *bits_r = *bits_r * 10 + (unsigned)(*at - '0');
    }
    return *bits_r <= most;
}

static bool same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

/* Nothing is set behind the prefix. */
static bool is_clean(const struct network *network)
{
    for (unsigned bit = network->bits; bit < 128; bit++)
        if ((network->address[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return false;
    return true;
}

bool network_parse(struct network *network_r, const char *text, size_t length)
{
    const char *end = text + length, *slash = length > 0 ? memchr(text, '/', length) : NULL;
    const char *stop = slash != NULL ? slash : end;
    unsigned bits = 0;
    bool ipv4;

    if (stop - text > 2 && *text == '[' && stop[-1] == ']') {
        text++;
        stop--;
    }
    if (!parse_address(network_r->address, text, (size_t)(stop - text), &ipv4))
        return false;
    if (slash == NULL)
        bits = 128;
    else if (!parse_bits(slash + 1, end, ipv4 ? 32 : 128, &bits))
        return false;
    else if (ipv4)
        bits += MAPPED_BITS;
    network_r->bits = (unsigned char)bits;
    network_r->excluded = false;
    return is_clean(network_r);
}

bool networks_hold(const struct networks *networks, const char *text, size_t length)
{
    unsigned char address[16];
    bool ipv4;

    if (networks->count == 0 || !parse_address(address, text, length, &ipv4))
        return false;
    for (size_t i = 0; i < networks->count; i++)
        if (same_prefix(networks->items[i].address, address, networks->items[i].bits))
            return !networks->items[i].excluded;
    return false;
}

void networks_add(struct networks *networks, const struct network *network)
{
    networks->items = xrealloc(networks->items, (networks->count + 1) * sizeof networks->items[0]);
    networks->items[networks->count++] = *network;
}

void networks_clear(struct networks *networks)
{
    free(networks->items);
    *networks = (struct networks){0};
}

void networks_read(struct networks *networks_r, char **others_r, const char *text)
{
    static const char blanks[] = ", \t\r\n";
    const char *at = text + strspn(text, blanks);

    free(*others_r);
    *others_r = xstrdup("");
    while (*at != '\0') {
        size_t length = strcspn(at, blanks);
        struct network network;
        bool excluded = *at == '!';
        if (network_parse(&network, at + excluded, length - excluded)) {
            network.excluded = excluded;
            networks_add(networks_r, &network);
        } else {
            char *others = xasprintf("%s%s%.*s", *others_r, **others_r ? " " : "", (int)length, at);
            free(*others_r);
            *others_r = others;
        }
        at += length;
        at += strspn(at, blanks);
    }
}
