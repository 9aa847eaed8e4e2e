/*
 * network: IP networks as an administrator writes them, "192.0.2.0/24", "2001:db8::/32", "[2001:db8::]/32"
 * (Postfix's form), or one address; and whether an address lies in one. An IPv4 address that is written as
 * an IPv6 one (RFC 4291 section 2.5.5.2) is the IPv4 address.
 */
#ifndef SENDPOST_BASE_NETWORK_H
#define SENDPOST_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

struct network {
    unsigned char address[16]; /* IPv4 in its mapped form, so that there is one kind */
    unsigned char bits;        /* of the 128 that count */
    bool excluded;             /* what lies in it is not in the list; set by whoever makes the list */
};

struct networks {
    struct network *items;
    size_t count;
};

/* False when it is no network, or one with bits behind its prefix that are not zero: then it is a mistake. */
bool network_parse(struct network *network_r, const char *text, size_t length) __attribute__((nonnull));

/* By the first network that it lies in. text: "192.0.2.7", "2001:db8::7", "IPv6:2001:db8::7". False, too,
 * when it is no address. */
bool networks_hold(const struct networks *networks, const char *text, size_t length) __attribute__((nonnull));

/* Of a list as Postfix's mynetworks: "192.0.2.0/24, !192.0.2.7 [::1]/128 hash:/etc/x". What is no network, a
 * table for example, goes into *others_r, which is freed first; for the caller to free. */
void networks_read(struct networks *networks_r, char **others_r, const char *text) __attribute__((nonnull));

void networks_add(struct networks *networks, const struct network *network) __attribute__((nonnull));
void networks_clear(struct networks *networks) __attribute__((nonnull));

#endif
