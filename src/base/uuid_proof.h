/*
 * uuid_proof: message UUIDs that nobody can compute without the key, and that prove themselves.
 *
 * Of the 122 bits of a UUID that are free (RFC 9562 section 5.5), the first 74 are identity: HMAC-SHA256 (RFC
 * 2104) over what tells the message from others. The last group, 48 bits, is the proof: HMAC-SHA256 over the
 * identity and the recipient in lower case. So from UUID and recipient alone, with the key, it is seen
 * whether it was ever given to that recipient; a guess is right once in 2^48. Version 5 and the variant of
 * RFC 9562 stay, because nobody knows what validators on the way take.
 *
 * A key is 256 random bits. The first of several makes, all of them verify, so that a key can be changed
 * while mail is under way. All hosts that share bounce addresses share the file.
 *
 * Thread-safe but for the keys' owner.
 */
#ifndef SENDPOST_BASE_UUID_PROOF_H
#define SENDPOST_BASE_UUID_PROOF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/uuid.h"

#define UUID_KEY_SIZE 32
#define UUID_KEYS_MAX 16
#define UUID_KEY_DIGITS (2 * UUID_KEY_SIZE)

struct uuid_keys { /* secret */
    unsigned char keys[UUID_KEYS_MAX][UUID_KEY_SIZE];
    size_t count; /* 0: UUIDs are made without proof, and none verifies */
};

/*
 * The text of a key file: UUID_KEY_DIGITS hexadecimal digits a line. False with what is wrong in *why_r, a
 * constant string that quotes nothing, and the line in *line_r (0: the file as a whole).
 */
bool uuid_keys_parse(struct uuid_keys *keys_r, const char *text, size_t length, const char **why_r,
                     size_t *line_r) __attribute__((nonnull));

/* What tells key files apart without telling the keys: sixteen digits of a hash, "none" without keys. */
#define UUID_FINGERPRINT_SIZE 17
void uuid_keys_fingerprint(const struct uuid_keys *keys, char fingerprint_r[UUID_FINGERPRINT_SIZE])
    __attribute__((nonnull));

/* A line of such a file: digits of a new key. */
void uuid_key_random(char digits_r[UUID_KEY_DIGITS + 1]) __attribute__((nonnull));

/*
 * The UUID of a message for one recipient under the nth key. The count strings tell the message from others,
 * as in uuid_derived(). With nth == keys->count it is uuid_derived() of them: no proof.
 */
void uuid_proof_derive(char uuid_r[UUID_SIZE], const struct uuid_keys *keys, size_t nth,
                       const char *const strings[], size_t count, const char *recipient)
    __attribute__((nonnull));

/* Another one at each call; without keys uuid_random(). */
void uuid_proof_random(char uuid_r[UUID_SIZE], const struct uuid_keys *keys, const char *recipient)
    __attribute__((nonnull));

/* The spelling of a recipient that the proof is made with: lower case, and without the quotes that a log or a
 * report puts around a local part. Empty when it is too long. */
void uuid_proof_recipient(char recipient_r[ADDRESS_SIZE], const char *recipient) __attribute__((nonnull));

/* Whether a UUID, of any case, was made with one of the keys for this recipient. The time it takes tells
 * nothing of how near a wrong one was. */
bool uuid_proof_verify(const struct uuid_keys *keys, const char *uuid, const char *recipient)
    __attribute__((nonnull));
bool uuid_proof_verify_bytes(const struct uuid_keys *keys, const unsigned char uuid[16],
                             const char *recipient, size_t length) __attribute__((nonnull));

#endif
