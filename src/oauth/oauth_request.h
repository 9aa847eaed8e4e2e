/* oauth_request: one request to a token or device endpoint. A part of oauth; nobody else includes it. */
#ifndef SENDPOST_OAUTH_OAUTH_REQUEST_H
#define SENDPOST_OAUTH_OAUTH_REQUEST_H

#include <stddef.h>

#include "net/http_client.h"
#include "oauth/token_answer.h"

/* A body of the kind application/x-www-form-urlencoded that grows; begins as {0}. */
struct oauth_form {
    char *text;         /* secret */
    const char *secret; /* what is in it and not in the settings; its owner's. NULL: nothing */
};

/* value NULL or "": nothing is added. */
void oauth_form_add(struct oauth_form *form, const char *name, const char *value)
    __attribute__((nonnull(1, 2)));
/* One, which is not shown where a server echoes it; value outlives the form. */
void oauth_form_add_secret(struct oauth_form *form, const char *name, const char *value)
    __attribute__((nonnull(1, 2)));

/*
 * POST with the client's name and secret added: in the body, as Microsoft and Google document it, and where
 * that is refused as HTTP Basic (RFC 6749 section 2.3.1). False: why says in words that are fit for a log.
 */
bool oauth_request(struct http_client *client, const struct config_oauth *settings, const char *url,
                   const struct oauth_form *form, int64_t timeout_ms, struct token_answer *answer_r,
                   char *why, size_t size) __attribute__((nonnull));

#endif
