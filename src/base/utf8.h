/*
 * utf8: bytes that came from elsewhere, made fit for JSON, logs and terminals.
 */
#ifndef SENDPOST_BASE_UTF8_H
#define SENDPOST_BASE_UTF8_H

#include <stddef.h>

/* Bytes (1 to 4) of the well-formed UTF-8 sequence (RFC 3629 section 4) at the start of text, 0 when there is
 * none. */
size_t utf8_sequence(const char *text, size_t length) __attribute__((nonnull));

/*
 * Copy into buffer what fits of text, with its NUL: whole characters only, control characters (C0, DEL, C1)
 * as spaces, a byte that is not UTF-8 as U+FFFD. Returns the length.
 */
size_t utf8_clean(char *buffer, size_t size, const char *text, size_t length) __attribute__((nonnull));

#endif
