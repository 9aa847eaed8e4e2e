/*
 * dns_message: what a DNS answer (RFC 1035 section 4) says about one name and one type. Bytes of strangers:
 * every read is bounded, names are expanded by c-ares, which knows pointer loops.
 */
#ifndef SENDPOST_NET_DNS_MESSAGE_H
#define SENDPOST_NET_DNS_MESSAGE_H

#include "net/dns.h"

struct dns_answer {
    struct dns_mx *records; /* for CNAME: one, its target as host; the caller's: dns_mx_free() */
    size_t count;
    uint32_t ttl;       /* smallest in the answer; with DNS_NOT_FOUND the negative TTL of the SOA, or 0 */
    const char *reason; /* why it is not DNS_OK; constant string */
};

/* type: ns_t_mx or ns_t_cname. packet may be NULL (length 0). Fills *answer_r always. */
enum dns_result dns_message_parse(const unsigned char *packet, size_t length, const char *name, int type,
                                  struct dns_answer *answer_r) __attribute__((nonnull(3, 5)));

#endif
