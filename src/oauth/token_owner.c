#include "oauth/token_owner.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "oauth/token_file.h"

/* Hexadecimal SHA-256; "" when there is no memory for it, which is nobody's. */
static char *hash_of(const char *const parts[], size_t count)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char *text = xcalloc(2 * sizeof digest + 1, 1);
    bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < count; i++)
        ok = parts[i] == NULL ? EVP_DigestUpdate(context, "", 1) == 1
                              : EVP_DigestUpdate(context, parts[i], strlen(parts[i]) + 1) == 1;
    if (!ok || EVP_DigestFinal_ex(context, digest, &length) != 1)
        length = 0;
    EVP_MD_CTX_free(context);
    for (unsigned i = 0; i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

struct token_owner token_owner_of(const struct config_oauth *oauth)
{
    const char *access[] = {oauth->token_endpoint, oauth->client_id, oauth->scope, oauth->client_secret,
                            oauth->refresh_token};
    const char *refresh[] = {oauth->token_endpoint, oauth->client_id, oauth->refresh_token};

    return (struct token_owner){.access = hash_of(access, sizeof access / sizeof access[0]),
                                .refresh = hash_of(refresh, sizeof refresh / sizeof refresh[0])};
}

void token_owner_clear(struct token_owner *owner)
{
    free(owner->access);
    free(owner->refresh);
}

bool token_owner_is(const char *noted, const char *hash)
{
    return noted != NULL && *hash != '\0' && strcmp(noted, hash) == 0;
}

bool token_owner_has_refresh(const char *noted, const struct token_owner *owner)
{
    return token_owner_is(noted, owner->refresh) || token_owner_is(noted, owner->access);
}

void token_seed_fingerprint(const struct config_oauth *oauth, char fingerprint_r[TOKEN_SEED_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    *fingerprint_r = '\0';
    if (oauth->refresh_token == NULL || EVP_Digest(oauth->refresh_token, strlen(oauth->refresh_token), digest,
                                                   &length, EVP_sha256(), NULL) != 1)
        return;
    for (unsigned i = 0; i < length && i < (TOKEN_SEED_SIZE - 1) / 2; i++)
        snprintf(fingerprint_r + 2 * i, 3, "%02x", digest[i]);
}
