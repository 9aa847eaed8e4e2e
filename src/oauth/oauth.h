/*
 * oauth: access tokens for logins (RFC 6749): by client credentials, or by a refresh token from a first login
 * (RFC 8628, `sendpostctl setup`). Kept in the state directory for all processes (oauth/token_file.h).
 *
 * Whoever first sees that less than five minutes are left (or half the life of a token that lives shorter)
 * renews the token, one process at a time; the others go on with the old one, or wait when there is none. The
 * agent does so in advance. A provider that fails is asked again after 10 s, doubled up to 5 minutes, by one
 * process for all. Nobody asks by a configuration that is not the one on disk any more: a newer login may
 * have been exchanged since, and what an older one comes to would take its place.
 *
 * Every failure is ours: deferred, no attempt. Tokens and secrets appear in no error text and in no trace.
 * Belongs to one thread.
 */
#ifndef SENDPOST_OAUTH_OAUTH_H
#define SENDPOST_OAUTH_OAUTH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/outcome.h"
#include "config/config.h"
#include "oauth/token_file.h"

struct oauth;

/* config: from config_load(). trace: NULL for none. Both outlive it. */
struct oauth *oauth_open(const struct config *config, FILE *trace)
    __attribute__((nonnull(1), returns_nonnull));
void oauth_close(struct oauth *oauth); /* NULL is fine */

/*
 * The access token for a TPSP whose configuration has an oauth section: *token_r is the caller's, to be freed
 * by secret_free(). Ends by deadline_ms (clock_monotonic_ms()). False: *error_r says why, and what to do.
 */
bool oauth_token(struct oauth *oauth, const struct config_tpsp *tpsp, int64_t deadline_ms, char **token_r,
                 struct outcome *error_r) __attribute__((nonnull));

/* The server refused this token: another one, renewed if nobody has done so yet. */
bool oauth_replace(struct oauth *oauth, const struct config_tpsp *tpsp, const char *refused,
                   int64_t deadline_ms, char **token_r, struct outcome *error_r) __attribute__((nonnull));

/* Renew what has less than ahead_ms left; true when nothing is to be done. */
bool oauth_keep(struct oauth *oauth, const struct config_tpsp *tpsp, int64_t ahead_ms, int64_t deadline_ms,
                struct outcome *error_r) __attribute__((nonnull));

/* A first login at a device that has a browser. */
struct oauth_device {
    char *code; /* secret */
    char *user_code, *uri;
    int64_t interval_s, life_s;
};

bool oauth_device_begin(struct oauth *oauth, const struct config_oauth *settings,
                        struct oauth_device *device_r, struct outcome *error_r) __attribute__((nonnull));

enum oauth_device_progress { OAUTH_DEVICE_WAIT, OAUTH_DEVICE_DONE, OAUTH_DEVICE_FAILED };

/* Ask once whether the person is done, interval_s after the last time; DONE: *refresh_token_r is the
 * caller's. */
enum oauth_device_progress oauth_device_ask(struct oauth *oauth, const struct config_oauth *settings,
                                            struct oauth_device *device, char **refresh_token_r,
                                            struct outcome *error_r) __attribute__((nonnull));
void oauth_device_clear(struct oauth_device *device) __attribute__((nonnull));

#endif
