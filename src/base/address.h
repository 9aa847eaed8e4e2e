/*
 * address: envelope addresses (RFC 5321 section 4.1.2, RFC 6531 for UTF-8) as pipe(8) hands them over:
 * unquoted
 * ("external" form is not used), without angle brackets.
 */
#ifndef SENDPOST_BASE_ADDRESS_H
#define SENDPOST_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Longest address we take. RFC 5321 section 4.5.3.1.3 allows 256; Postfix passes longer ones on, and VERP
 * makes them. */
#define ADDRESS_SIZE 1025 /* with the terminating NUL */

/*
 * Whether the address can be put into an SMTP command: local part and domain present (a bare local part is
 * refused), at most ADDRESS_SIZE - 1 bytes, no control character, no unquoted space or angle bracket, valid
 * UTF-8. Says in *why_r (a constant string) what is wrong with it.
 */
bool address_valid(const char *address, const char **why_r) __attribute__((nonnull));

/* The domain, after the last @; NULL when there is none. Points into address. */
const char *address_domain(const char *address) __attribute__((nonnull));

bool address_is_ascii(const char *address) __attribute__((nonnull));

/* The same to those who look one up: without regard to case, in local parts neither (nobody tells by it). */
bool address_equal(const char *a, const char *b) __attribute__((nonnull));

#endif
