/* Whom a message came from or went to: where in the network is that? */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "agent/track_private.h"
#include "postlog/log_cursor.h"

static struct log_slice address_of(struct log_slice peer)
{
    const char *open = peer.length > 0 ? memchr(peer.at, '[', peer.length) : NULL;
    const char *close = open != NULL ? memchr(open, ']', peer.length - (size_t)(open - peer.at)) : NULL;

    return close != NULL ? (struct log_slice){open + 1, (size_t)(close - open) - 1}
                         : (struct log_slice){NULL, 0};
}

static bool address_begins(struct log_slice address, const char *const beginnings[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (address.length >= strlen(beginnings[i]) &&
            strncasecmp(address.at, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

bool track_is_loopback(struct log_slice peer)
{
    struct log_slice address = address_of(peer);

    return slice_begins(address, "127.") || slice_is(address, "::1") || slice_begins(address, "::ffff:127.");
}

bool track_is_near(struct log_slice peer)
{
    static const char *const networks[] = {
        "10.",     "192.168.", "169.254.", "172.16.", "172.17.", "172.18.", "172.19.", "172.20.", "172.21.",
        "172.22.", "172.23.",  "172.24.",  "172.25.", "172.26.", "172.27.", "172.28.", "172.29.", "172.30.",
        "172.31.", "fc",       "fd",       "fe8",     "fe9",     "fea",     "feb"};
    struct log_slice address = address_of(peer);

    if (address.length == 0 || memchr("1fF:", *address.at, 4) == NULL)
        return false;
    return track_is_loopback(peer) || address_begins(address, networks, sizeof networks / sizeof networks[0]);
}

void track_hash_peer(unsigned char hash_r[8], struct log_slice peer)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    struct log_slice address = address_of(peer);

    for (size_t i = 0; i < address.length; i++)
        hash = (hash ^ (unsigned char)tolower((unsigned char)address.at[i])) * UINT64_C(1099511628211);
    if (address.length == 0)
        hash = 0;
    memcpy(hash_r, &hash, sizeof hash);
}
