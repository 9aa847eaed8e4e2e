/*
 * token_answer: what an OAuth server says to a request for a token (RFC 6749 sections 5.1 and 5.2, RFC 8628
 * sections 3.2 and 3.5). Read from foreign bytes: bounded, and only what can be sent in a login.
 */
#ifndef SENDPOST_OAUTH_TOKEN_ANSWER_H
#define SENDPOST_OAUTH_TOKEN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_MAX 16384 /* bytes of a token */
#define TOKEN_LIFE_MAX_S (7 * 86400)

struct token_answer {
    char *access_token;     /* secret; NULL: none */
    char *refresh_token;    /* secret; NULL: the old one stays good */
    int64_t life_s;         /* of the access token */
    int64_t refresh_life_s; /* of the refresh token; 0: the server does not say */
    /* of a device login */
    char *device_code; /* secret */
    char *user_code, *verification_uri;
    int64_t interval_s;
    char error[64];  /* "invalid_grant"; "": none */
    char words[256]; /* error_description, one line of clean UTF-8; "" */
};

/* From the body of an answer. False: it is none that makes sense; error and words may be set. */
bool token_answer_parse(struct token_answer *answer_r, const char *body, size_t length)
    __attribute__((nonnull(1)));

void token_answer_clear(struct token_answer *answer) __attribute__((nonnull));

#endif
