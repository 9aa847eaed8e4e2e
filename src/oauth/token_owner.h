/*
 * token_owner: which configuration tokens came by, as hashes of its settings. token_file.h says what is
 * whose.
 */
#ifndef SENDPOST_OAUTH_TOKEN_OWNER_H
#define SENDPOST_OAUTH_TOKEN_OWNER_H

#include <stdbool.h>

#include "config/config.h"

struct token_owner { /* hexadecimal SHA-256; "" when there was no memory for it, which is nobody */
    char *access, *refresh;
};

struct token_owner token_owner_of(const struct config_oauth *oauth) __attribute__((nonnull));
void token_owner_clear(struct token_owner *owner) __attribute__((nonnull));

/* Whether what is noted in a file (NULL: nothing) is this hash; of a refresh token, as an older version wrote
 * it, too: with the same hash for all. */
bool token_owner_is(const char *noted, const char *hash) __attribute__((nonnull(2)));
bool token_owner_has_refresh(const char *noted, const struct token_owner *owner) __attribute__((nonnull(2)));

#endif
