/*
 * from_header: the domain of the first mailbox in a From: field (RFC 5322 section 3.4, with the obsolete
 * forms of section 4.4 and what is seen in the wild: names with unquoted "@" or ",", quotes and parentheses
 * that are never closed). One pass, nothing allocated for what the field says.
 */
#ifndef SENDPOST_POLICY_FROM_HEADER_H
#define SENDPOST_POLICY_FROM_HEADER_H

#include <stddef.h>

#define FROM_DOMAIN_SIZE 256

enum from_domain {
    FROM_DOMAIN_NONE,
    FROM_DOMAIN_FOUND,
    FROM_DOMAIN_UNKNOWN, /* trouble of ours with an internationalised one (base/idn.h), which the log tells */
};

/*
 * value: the unfolded field body, length bytes. The domain comes out in lower case, without the final dot, in
 * ASCII ("xn--…" for an internationalised one); a domain literal with its brackets. None when the field
 * names no mailbox with a possible domain.
 */
enum from_domain from_header_domain(const char *value, size_t length, char domain_r[FROM_DOMAIN_SIZE])
    __attribute__((nonnull));

/* The same normal form for a domain from elsewhere (the envelope). */
enum from_domain from_header_normalise(const char *domain, size_t length, char domain_r[FROM_DOMAIN_SIZE])
    __attribute__((nonnull));

#endif
