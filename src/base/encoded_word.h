/*
 * encoded_word: header text for people: the encoded words of RFC 2047 become the characters that they stand
 * for, in UTF-8, US-ASCII, ISO 8859-1 and windows-1252. What is in another charset, or is no encoded word,
 * stays as it is.
 */
#ifndef SENDPOST_BASE_ENCODED_WORD_H
#define SENDPOST_BASE_ENCODED_WORD_H

#include <stddef.h>

/* Into buffer as utf8_clean() would: valid UTF-8, no control characters, what fits. Returns the length. */
size_t encoded_word_decode(char *buffer, size_t size, const char *text) __attribute__((nonnull));

#endif
