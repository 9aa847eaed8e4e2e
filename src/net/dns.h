/*
 * dns: name lookups with a deadline, through c-ares. Addresses come from /etc/hosts first, then from DNS with
 * the search list of resolv.conf; "localhost" never leaves the machine (RFC 6761 section 6.3). CNAME and MX
 * records come from DNS alone. Nothing is looked up, and the library is not even started, for an address
 * literal.
 *
 * DNS_NOT_FOUND makes messages bounce, so it is only said where the answer is one: a referral, or an empty
 * answer of a server that neither has authority nor recurses (a lame delegation), is DNS_TROUBLE.
 *
 * A resolver belongs to one thread. Results are the caller's: dns_*_free(), free() for a string.
 */
#ifndef SENDPOST_NET_DNS_H
#define SENDPOST_NET_DNS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct dns_resolver;

enum dns_result {
    DNS_OK,
    DNS_NOT_FOUND, /* NXDOMAIN, or the name has no record of this type: an authoritative "no" */
    DNS_TROUBLE,   /* SERVFAIL, timeout, refused, malformed: ask again later */
};

/*
 * servers: "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353"; NULL or empty for the
 * system's. Kept by pointer. timeout_ms: for one whole lookup, repetitions and all servers included.
 */
struct dns_resolver *dns_open(const char *const *servers, size_t server_count, int timeout_ms)
    __attribute__((returns_nonnull));
void dns_close(struct dns_resolver *resolver); /* NULL is fine */

struct dns_address {
    struct sockaddr_storage address; /* port included */
    socklen_t length;
    char text[64]; /* "192.0.2.1", "2001:db8::1" */
};

/*
 * Addresses of host in the order of RFC 6724. host: name or address literal, IPv6 with or without brackets.
 * deadline_ms: clock_monotonic_ms() at which to give up (DNS_TROUBLE).
 */
enum dns_result dns_addresses(struct dns_resolver *resolver, const char *host, uint16_t port,
                              int64_t deadline_ms, struct dns_address **addresses_r, size_t *count_r)
    __attribute__((nonnull));
void dns_addresses_free(struct dns_address *addresses); /* NULL is fine */

/*
 * Target of the CNAME record of name itself (not followed further), lower case, without the final dot. ttl in
 * seconds, also with DNS_NOT_FOUND: how long that may be remembered (RFC 2308 section 5), 0 when unknown.
 */
enum dns_result dns_cname(struct dns_resolver *resolver, const char *name, int64_t deadline_ms,
                          char **target_r, uint32_t *ttl_r) __attribute__((nonnull));

struct dns_mx {
    uint16_t preference;
    char *host; /* lower case, without the final dot; "" is the null MX of RFC 7505 */
};

/*
 * MX records sorted by preference, then name; CNAMEs are followed by the server. ttl: the smallest of the
 * set; with DNS_NOT_FOUND as in dns_cname().
 */
enum dns_result dns_mx(struct dns_resolver *resolver, const char *domain, int64_t deadline_ms,
                       struct dns_mx **records_r, size_t *count_r, uint32_t *ttl_r) __attribute__((nonnull));
void dns_mx_free(struct dns_mx *records, size_t count); /* NULL is fine */

/* Why the last lookup did not end in DNS_OK, in words: "NXDOMAIN", "timeout after 5.0 s". Never NULL. */
const char *dns_reason(const struct dns_resolver *resolver) __attribute__((nonnull, returns_nonnull));

#endif
