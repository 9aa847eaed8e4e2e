#include "base/uuid.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/xalloc.h"

/* UUIDv5 of the URL "https://sendpost.io/" in the URL namespace of RFC 9562: ours for good, or ids would
 * change. */
static const unsigned char namespace_sendpost[16] = {0x31, 0xbd, 0xc6, 0x64, 0xf7, 0x41, 0x5a, 0x76,
                                                     0xb8, 0xdc, 0x9a, 0x80, 0x17, 0x44, 0xf7, 0x47};

void uuid_text(char uuid_r[UUID_SIZE], const unsigned char bytes[16])
{
    static const char digits[] = "0123456789abcdef";
    char *at = uuid_r;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    *at = '\0';
}

static void format_uuid(char uuid_r[UUID_SIZE], unsigned char bytes[16], unsigned version)
{
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | (version << 4));
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    uuid_text(uuid_r, bytes);
}

void uuid_random(char uuid_r[UUID_SIZE])
{
    unsigned char bytes[16];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        abort(); /* 16 bytes are never short once the kernel has booted (getrandom(2)) */
    format_uuid(uuid_r, bytes, 4);
}

/* SHA1() looks the algorithm up at each call, which takes four times as long as the digest of some names. */
static const EVP_MD *sha1;

static void fetch_sha1(void)
{
    /* where OpenSSL lacked memory to begin with, a fetch finds NULL and follows it */
    if (OSSL_LIB_CTX_get0_global_default() == NULL)
        xalloc_fail();
    sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    if (sha1 == NULL)
        sha1 = EVP_sha1();
}

static void digest_name(const unsigned char *name, size_t length, unsigned char digest_r[SHA_DIGEST_LENGTH])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch_sha1);
    if (EVP_Digest(name, length, digest_r, NULL, sha1, NULL) != 1)
        xalloc_fail();
}

void uuid_derived(char uuid_r[UUID_SIZE], const char *const strings[], size_t count)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    size_t length = sizeof namespace_sendpost;

    for (size_t i = 0; i < count; i++)
        length += (strings[i] ? strlen(strings[i]) : 0) + 1;

    AUTO_FREE unsigned char *name = xcalloc(1, length);
    unsigned char *at = name;
    memcpy(at, namespace_sendpost, sizeof namespace_sendpost);
    at += sizeof namespace_sendpost;
    for (size_t i = 0; i < count; i++) {
        size_t string_length = strings[i] ? strlen(strings[i]) : 0;
        if (string_length > 0)
            memcpy(at, strings[i], string_length);
        at += string_length + 1;
    }
    digest_name(name, length, digest);
    format_uuid(uuid_r, digest, 5);
}

int64_t uuid_number(const char *const strings[], size_t count)
{
    char name[UUID_SIZE], digits[17];

    uuid_derived(name, strings, count);
    /* both ends, where neither version nor variant stand */
    memcpy(digits, name, 8);
    memcpy(digits + 8, name + 24, 8);
    digits[16] = '\0';
    return (int64_t)(strtoull(digits, NULL, 16) >> 2) | 1;
}

bool uuid_valid(const char *text, size_t length)
{
    bool nil = true;

    if (length != UUID_SIZE - 1)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-')
                return false;
        } else if (!isxdigit((unsigned char)text[i])) {
            return false;
        } else if (text[i] != '0') {
            nil = false;
        }
    }
    return !nil;
}

void uuid_copy(char uuid_r[UUID_SIZE], const char *text)
{
    for (size_t i = 0; i < UUID_SIZE - 1; i++)
        uuid_r[i] = (char)tolower((unsigned char)text[i]);
    uuid_r[UUID_SIZE - 1] = '\0';
}

void uuid_bytes(unsigned char bytes_r[16], const char *text)
{
    for (size_t i = 0; i < 16; i++) {
        if (*text == '-')
            text++;
        for (int half = 0; half < 2; half++, text++) {
            int digit =
                isdigit((unsigned char)*text) ? *text - '0' : tolower((unsigned char)*text) - 'a' + 10;
            bytes_r[i] = (unsigned char)((unsigned)bytes_r[i] << 4 | (unsigned)digit);
        }
    }
}
