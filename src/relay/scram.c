#include "relay/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

#define HASH 32

static bool hmac(const void *key, size_t key_length, const char *text, size_t length, unsigned char out[HASH])
{
    unsigned size = HASH;

    return HMAC(EVP_sha256(), key, (int)key_length, (const unsigned char *)text, length, out, &size) != NULL;
}

bool scram_write_name(char *out, size_t size, const char *name)
{
    size_t n = 0;

    for (; *name != '\0'; name++) {
        const char *said = *name == ',' ? "=2C" : *name == '=' ? "=3D" : NULL;
        size_t length = said != NULL ? 3 : 1;

        if (n + length >= size)
            return false;
        memcpy(out + n, said != NULL ? said : name, length);
        n += length;
    }
    out[n] = '\0';
    return true;
}

bool scram_first(struct scram *scram, const char *username, const char *nonce, char *out, size_t size)
{
    unsigned char random[18];
    char name[SCRAM_TEXT_SIZE / 2];

    if (nonce != NULL)
        snprintf(scram->nonce, sizeof scram->nonce, "%s", nonce);
    else if (RAND_bytes(random, sizeof random) != 1 ||
             base64_encode(random, sizeof random, scram->nonce, sizeof scram->nonce) == 0)
        return false;
    if (!scram_write_name(name, sizeof name, username))
        return false;
    snprintf(scram->first_bare, sizeof scram->first_bare, "n=%s,r=%s", name, scram->nonce);
    int length = snprintf(out, size, "n,,%s", scram->first_bare);
    return length > 0 && (size_t)length < size;
}

/* The value of "x=" in a list of attributes; its length in *length_r. */
static const char *attribute(const char *text, char name, size_t *length_r)
{
    for (const char *at = text; *at != '\0'; at += strcspn(at, ","), at += *at == ',')
        if (at[0] == name && at[1] == '=') {
            *length_r = strcspn(at + 2, ",");
            return at + 2;
        }
    return NULL;
}

bool scram_answer(struct scram *scram, const char *password, const char *challenge, char *out, size_t size)
{
    size_t nonce_length, salt_length, iteration_length, own = strlen(scram->nonce);
    const char *nonce = attribute(challenge, 'r', &nonce_length),
               *salt = attribute(challenge, 's', &salt_length),
               *count = attribute(challenge, 'i', &iteration_length);
    unsigned char bytes[256], salted[HASH], client_key[HASH], stored[HASH], signature[HASH], server_key[HASH];
    char without_proof[SCRAM_TEXT_SIZE], message[3 * SCRAM_TEXT_SIZE], proof[64];
    size_t salt_bytes;

    if (nonce == NULL || salt == NULL || count == NULL || challenge[0] != 'r' || nonce_length <= own ||
        memcmp(nonce, scram->nonce, own) != 0 || nonce_length > SCRAM_TEXT_SIZE / 2)
        return false;
    long iterations = strtol(count, NULL, 10);
    salt_bytes = base64_decode(salt, salt_length, bytes, sizeof bytes);
    if (iterations < 1 || iterations > SCRAM_ITERATIONS_MAX || salt_bytes == 0)
        return false;
    snprintf(without_proof, sizeof without_proof, "c=biws,r=%.*s", (int)nonce_length, nonce);
    int length = snprintf(message, sizeof message, "%s,%s,%s", scram->first_bare, challenge, without_proof);
    bool ok = length > 0 && (size_t)length < sizeof message &&
              PKCS5_PBKDF2_HMAC(password, (int)strlen(password), bytes, (int)salt_bytes, (int)iterations,
                                EVP_sha256(), HASH, salted) == 1 &&
              hmac(salted, HASH, "Client Key", 10, client_key) &&
              EVP_Digest(client_key, HASH, stored, NULL, EVP_sha256(), NULL) == 1 &&
              hmac(stored, HASH, message, (size_t)length, signature) &&
              hmac(salted, HASH, "Server Key", 10, server_key) &&
              hmac(server_key, HASH, message, (size_t)length, scram->server_signature);
    for (size_t i = 0; i < HASH; i++)
        client_key[i] ^= signature[i];
    ok = ok && base64_encode(client_key, HASH, proof, sizeof proof) > 0;
    if (ok)
        length = snprintf(out, size, "%s,p=%s", without_proof, proof);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client_key, sizeof client_key);
    return ok && length > 0 && (size_t)length < size;
}

bool scram_final(const struct scram *scram, const char *challenge)
{
    unsigned char signature[64];
    size_t length;
    const char *value = attribute(challenge, 'v', &length);

    return value != NULL && base64_decode(value, length, signature, sizeof signature) == HASH &&
           CRYPTO_memcmp(signature, scram->server_signature, HASH) == 0;
}
