/* dns_address: one address to connect to, from a socket address or from what was written as a host. */
#ifndef SENDPOST_NET_DNS_ADDRESS_H
#define SENDPOST_NET_DNS_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/dns.h"

/* False: it is of no kind that has a text. */
bool dns_address_from(struct dns_address *address_r, const struct sockaddr *from, socklen_t length,
                      uint16_t port) __attribute__((nonnull));

/* IPv4, IPv6 with or without brackets and zone. 1: it is one; 0: it is not; -1: it begins like one. */
int dns_address_literal(const char *host, uint16_t port, struct dns_address *address_r)
    __attribute__((nonnull));

#endif
