/*
 * page_login: who may see addresses on the status page: whoever can open files in the state directory. He has
 * `sendpostctl ui` put a token there, which is good once and for PAGE_LOGIN_LINK_MS; the page gives a cookie
 * for it, which is good for PAGE_LOGIN_MS.
 *
 *   STATE/page-login   the token and until when it is good; the newest one counts
 *   STATE/page-key     the key of the cookies, a random one: delete it, restart the agent, and all are void
 *
 * A cookie is "UNTIL.MAC": the time (clock_realtime_ms()) and HMAC-SHA256 (RFC 2104) of it. Neither token nor
 * cookie nor key is ever logged, and comparing takes the same time whatever is wrong.
 */
#ifndef SENDPOST_BASE_PAGE_LOGIN_H
#define SENDPOST_BASE_PAGE_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

#define PAGE_LOGIN_LINK_MS INT64_C(300000)
#define PAGE_LOGIN_MS INT64_C(43200000)
#define PAGE_LOGIN_KEY_SIZE 32
#define PAGE_LOGIN_TOKEN_SIZE 65 /* 64 digits and their end */
#define PAGE_LOGIN_COOKIE_SIZE 96

struct page_login_key { /* secret */
    unsigned char bytes[PAGE_LOGIN_KEY_SIZE];
};

/* A token to log in with once; secret. */
bool page_login_offer(const char *state_dir, int64_t now_ms, char token_r[PAGE_LOGIN_TOKEN_SIZE],
                      struct outcome *error_r) __attribute__((nonnull));

/* Whether it is the one on offer, which is then used up. */
bool page_login_redeem(const char *state_dir, int64_t now_ms, const char *token) __attribute__((nonnull));

/* The key in the state directory, which is made if there is none. */
bool page_login_key(const char *state_dir, struct page_login_key *key_r, struct outcome *error_r)
    __attribute__((nonnull));

void page_login_cookie(const struct page_login_key *key, int64_t until_ms,
                       char cookie_r[PAGE_LOGIN_COOKIE_SIZE]) __attribute__((nonnull));
bool page_login_valid(const struct page_login_key *key, int64_t now_ms, const char *cookie)
    __attribute__((nonnull));

#endif
