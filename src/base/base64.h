/*
 * base64: RFC 4648 section 4, with padding, for short texts. No allocation.
 */
#ifndef SENDPOST_BASE_BASE64_H
#define SENDPOST_BASE_BASE64_H

#include <stddef.h>

/* The length written, a NUL behind it; 0 when out is too small or there is nothing. */
size_t base64_encode(const void *bytes, size_t length, char *out, size_t size) __attribute__((nonnull));

/* The number of bytes; 0 when malformed, empty, or out is too small. */
size_t base64_decode(const char *text, size_t length, unsigned char *out, size_t size)
    __attribute__((nonnull));

#endif
