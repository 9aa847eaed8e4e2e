/*
 * punycode: the two forms of an internationalised domain (RFC 3492, RFC 5890), to recognise one by the other.
 * For comparisons alone: nothing is checked against the tables of IDNA, and nothing made here is looked up.
 */
#ifndef SENDPOST_BASE_PUNYCODE_H
#define SENDPOST_BASE_PUNYCODE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * "xn--mnchen-3ya.example" as "münchen.example" and the other way round; labels that have one form alone stay
 * as they are. False when the domain has no other form, is malformed, or does not fit.
 */
bool punycode_other_form(const char *domain, char *out, size_t size) __attribute__((nonnull));

#endif
