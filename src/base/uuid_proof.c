#include "base/uuid_proof.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/xalloc.h"

#define IDENTITY_SIZE 10 /* bytes, version and variant among them */
#define PROOF_SIZE (16 - IDENTITY_SIZE)
#define DIGEST_SIZE 32

_Static_assert(8 * IDENTITY_SIZE - 6 >= 70 && 8 * PROOF_SIZE >= 48, "enough of each");

/* One key, two uses: each begins with a word of its own. */
static const char identity_label[] = "postfix-sendpost uuid identity";
static const char proof_label[] = "postfix-sendpost uuid proof";

/* --- keys ------------------------------------------------------------------------------------------ */

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static const char *parse_key(unsigned char key[UUID_KEY_SIZE], const char *line, size_t length)
{
    bool same = true;

    if (length != UUID_KEY_DIGITS)
        return "is not 64 hexadecimal digits";
    for (size_t i = 0; i < UUID_KEY_SIZE; i++) {
        int high = digit(line[2 * i]), low = digit(line[2 * i + 1]);
        if (high < 0 || low < 0)
            return "is not 64 hexadecimal digits";
        key[i] = (unsigned char)(high << 4 | low);
        same = same && key[i] == key[0];
    }
    return same ? "is no random key: every byte of it is the same" : NULL;
}

bool uuid_keys_parse(struct uuid_keys *keys_r, const char *text, size_t length, const char **why_r,
                     size_t *line_r)
{
    const char *end = text + length;

    *keys_r = (struct uuid_keys){.count = 0};
    *why_r = NULL;
    *line_r = 0;
    while (text < end && *why_r == NULL) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((newline != NULL ? newline : end) - text);
        size_t trimmed = line > 0 && text[line - 1] == '\r' ? line - 1 : line;

        ++*line_r;
        if (trimmed > 0 && keys_r->count == UUID_KEYS_MAX)
            *why_r = "is one key too many: 16 are taken";
        else if (trimmed > 0)
            *why_r = parse_key(keys_r->keys[keys_r->count++], text, trimmed);
        text += line + 1;
    }
    if (*why_r == NULL && keys_r->count == 0) {
        *why_r = "holds no key";
        *line_r = 0;
    }
    if (*why_r != NULL)
        explicit_bzero(keys_r, sizeof *keys_r);
    return *why_r == NULL;
}

void uuid_key_random(char digits_r[UUID_KEY_DIGITS + 1])
{
    static const char hexadecimal[] = "0123456789abcdef";
    unsigned char key[UUID_KEY_SIZE];

    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        abort(); /* 32 bytes are never short once the kernel has booted (getrandom(2)) */
    for (size_t i = 0; i < UUID_KEY_SIZE; i++) {
        digits_r[2 * i] = hexadecimal[key[i] >> 4];
        digits_r[2 * i + 1] = hexadecimal[key[i] & 15];
    }
    digits_r[UUID_KEY_DIGITS] = '\0';
    explicit_bzero(key, sizeof key);
}

/* --- digests ---------------------------------------------------------------------------------------- */

static void sign(unsigned char digest_r[DIGEST_SIZE], const unsigned char key[UUID_KEY_SIZE],
                 const unsigned char *bytes, size_t length)
{
    unsigned size = 0;

    /* the first for OpenSSL's own beginning, which HMAC() takes for granted */
    if (OSSL_LIB_CTX_get0_global_default() == NULL ||
        HMAC(EVP_sha256(), key, UUID_KEY_SIZE, bytes, length, digest_r, &size) == NULL || size != DIGEST_SIZE)
        xalloc_fail(); /* a UUID of another kind must not leave */
}

/* Lower case, and without the quotes that a log and a report put around a local part that needs them (RFC
 * 5321 section 4.1.2), which an envelope has not. */
static size_t canonical(unsigned char *recipient_r, const char *recipient, size_t length)
{
    const char *at_sign = length > 0 ? memrchr(recipient, '@', length) : NULL;
    bool quoted = at_sign != NULL && at_sign - recipient >= 2 && recipient[0] == '"' && at_sign[-1] == '"';
    size_t size = 0;

    for (size_t i = 0; i < length; i++) {
        bool in_quotes = quoted && recipient + i < at_sign;
        if (in_quotes && (i == 0 || recipient + i + 1 == at_sign))
            continue;
        if (in_quotes && recipient[i] == '\\' && recipient + i + 2 < at_sign)
            i++;
        recipient_r[size++] = (unsigned char)tolower((unsigned char)recipient[i]);
    }
    return size;
}

void uuid_proof_recipient(char recipient_r[ADDRESS_SIZE], const char *recipient)
{
    size_t length = strlen(recipient);

    length = length < ADDRESS_SIZE ? canonical((unsigned char *)recipient_r, recipient, length) : 0;
    recipient_r[length] = '\0';
}

static void prove(unsigned char proof_r[PROOF_SIZE], const unsigned char key[UUID_KEY_SIZE],
                  const unsigned char identity[IDENTITY_SIZE], const char *recipient, size_t length)
{
    unsigned char bytes[sizeof proof_label + IDENTITY_SIZE + ADDRESS_SIZE], digest[DIGEST_SIZE];
    unsigned char *at = bytes;

    memcpy(at, proof_label, sizeof proof_label);
    at += sizeof proof_label;
    memcpy(at, identity, IDENTITY_SIZE);
    at += IDENTITY_SIZE;
    at += canonical(at, recipient, length < ADDRESS_SIZE ? length : ADDRESS_SIZE);
    sign(digest, key, bytes, (size_t)(at - bytes));
    memcpy(proof_r, digest, PROOF_SIZE);
}

/* --- making ---------------------------------------------------------------------------------------- */

static void finish(char uuid_r[UUID_SIZE], unsigned char bytes[16], const unsigned char key[UUID_KEY_SIZE],
                   const char *recipient)
{
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x50);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    prove(bytes + IDENTITY_SIZE, key, bytes, recipient, strlen(recipient));
    uuid_text(uuid_r, bytes);
}

void uuid_proof_derive(char uuid_r[UUID_SIZE], const struct uuid_keys *keys, size_t nth,
                       const char *const strings[], size_t count, const char *recipient)
{
    unsigned char digest[DIGEST_SIZE], bytes[16];
    size_t length = sizeof identity_label;

    if (nth >= keys->count) {
        uuid_derived(uuid_r, strings, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        length += (strings[i] != NULL ? strlen(strings[i]) : 0) + 1;
    AUTO_FREE unsigned char *name = xcalloc(1, length);
    unsigned char *at = name;
    memcpy(at, identity_label, sizeof identity_label);
    at += sizeof identity_label;
    for (size_t i = 0; i < count; i++) {
        size_t string_length = strings[i] != NULL ? strlen(strings[i]) : 0;
        if (string_length > 0)
            memcpy(at, strings[i], string_length);
        at += string_length + 1;
    }
    sign(digest, keys->keys[nth], name, length);
    memcpy(bytes, digest, sizeof bytes);
    finish(uuid_r, bytes, keys->keys[nth], recipient);
}

void uuid_proof_random(char uuid_r[UUID_SIZE], const struct uuid_keys *keys, const char *recipient)
{
    unsigned char bytes[16];

    if (keys->count == 0) {
        uuid_random(uuid_r);
        return;
    }
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        abort(); /* 16 bytes are never short once the kernel has booted (getrandom(2)) */
    finish(uuid_r, bytes, keys->keys[0], recipient);
}

/* --- verifying --------------------------------------------------------------------------------------- */

bool uuid_proof_verify_bytes(const struct uuid_keys *keys, const unsigned char uuid[16],
                             const char *recipient, size_t length)
{
    unsigned char proof[PROOF_SIZE];
    int found = 0;

    if (uuid[6] >> 4 != 5 || uuid[8] >> 6 != 2 || length == 0 || length >= ADDRESS_SIZE)
        return false;
    for (size_t i = 0; i < keys->count; i++) {
        prove(proof, keys->keys[i], uuid, recipient, length);
        found |= CRYPTO_memcmp(proof, uuid + IDENTITY_SIZE, PROOF_SIZE) == 0;
    }
    return found != 0;
}

bool uuid_proof_verify(const struct uuid_keys *keys, const char *uuid, const char *recipient)
{
    unsigned char bytes[16];

    if (!uuid_valid(uuid, strlen(uuid)))
        return false;
    uuid_bytes(bytes, uuid);
    return uuid_proof_verify_bytes(keys, bytes, recipient, strlen(recipient));
}

void uuid_keys_fingerprint(const struct uuid_keys *keys, char fingerprint_r[UUID_FINGERPRINT_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    snprintf(fingerprint_r, UUID_FINGERPRINT_SIZE, "none");
    if (keys->count == 0 ||
        EVP_Digest(keys->keys, keys->count * UUID_KEY_SIZE, digest, &length, EVP_sha256(), NULL) != 1)
        return;
    for (int i = 0; i < 8; i++)
        snprintf(fingerprint_r + 2 * i, 3, "%02x", digest[i]);
}
