/*
 * uuid: RFC 9562 UUIDs in their 36-character lower-case text form.
 */
#ifndef SENDPOST_BASE_UUID_H
#define SENDPOST_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_SIZE 37 /* with the terminating NUL */

/* Random UUID (version 4, RFC 9562 section 5.4). */
void uuid_random(char uuid_r[UUID_SIZE]);

/*
 * Name-based UUID (version 5, RFC 9562 section 5.5) in this project's own namespace. The name is the list of
 * count strings, each followed by a NUL byte, so that ("ab","c") and ("a","bc") differ. NULL counts as "".
 */
void uuid_derived(char uuid_r[UUID_SIZE], const char *const strings[], size_t count) __attribute__((nonnull));

void uuid_text(char uuid_r[UUID_SIZE], const unsigned char bytes[16]) __attribute__((nonnull));

/* Whether text of the given length is a UUID in 8-4-4-4-12 form, of any case, version and variant but the nil
 * UUID. */
/* 62 bits of a name-based UUID of these strings, never 0. */
int64_t uuid_number(const char *const strings[], size_t count) __attribute__((nonnull));

bool uuid_valid(const char *text, size_t length) __attribute__((nonnull));

/* The 16 bytes of a valid UUID's text; uuid_text() is the other way. */
void uuid_bytes(unsigned char bytes_r[16], const char *text) __attribute__((nonnull));

/* Copy a valid UUID in lower case. */
void uuid_copy(char uuid_r[UUID_SIZE], const char *text) __attribute__((nonnull));

#endif
