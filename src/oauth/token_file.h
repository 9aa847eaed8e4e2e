/*
 * token_file: what is known of the tokens of one TPSP, in STATE_DIR/oauth/NAME, mode 0600. Replaced
 * atomically and durably: a refresh token that the provider has exchanged for a new one is of no use any
 * more, so the new one is on disk before anybody uses what came with it.
 *
 * What the file holds is in three parts, each for the configuration that it came by, known by a hash:
 *   - the access token, for provider, client, secret, scope and seed (the content of refresh-token-file);
 *   - the refresh token that the seed was exchanged for, for provider, client and seed. Another secret or
 * scope goes on with it. It is never sent to another provider, nor by another client;
 *   - the last failure, for all of them.
 * What a configuration comes to that is only tried (config_oauth.tried) goes beside it, to NAME+tried, unless
 * the file holds a token for it already: the login of the configuration that is written may be in use, and
 * must outlive a trial that comes to nothing. Whoever finds no token of his in the one looks into the other,
 * so that it does not matter when the new configuration takes the place of the old one.
 *
 * A part that is of another configuration counts for nothing, and stays until one of ours takes its place: a
 * failure takes that of a failure, so that a setting that was wrong for a while, or a process that has read
 * an older configuration, costs no login. Versions before this knew one hash for all, the one of the access
 * token.
 */
#ifndef SENDPOST_OAUTH_TOKEN_FILE_H
#define SENDPOST_OAUTH_TOKEN_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"
#include "config/config.h"

/* Times are clock_realtime_ms(); 0: none. */
struct token_state {
    char *access_token;         /* secret; NULL: none */
    char *refresh_token;        /* secret; NULL: the one of the configuration, if any */
    int64_t received_ms;        /* when access_token came */
    int64_t expires_ms;         /* and from when on it is of no use */
    int64_t refresh_expires_ms; /* of refresh_token */
    int failures;               /* in a row */
    int64_t next_try_ms;        /* after a failure */
    char error[320];            /* the last failure in words; "" */
};

/* Whether tokens are had by the refresh token of a login; else by client credentials. */
static inline bool token_by_login(const struct config_oauth *oauth)
{
    return oauth->refresh_token != NULL || oauth->refresh_token_path != NULL;
}

/* Empty, when there is none for this configuration, or it is damaged. */
void token_file_read(const char *state_dir, const struct config_tpsp *tpsp, struct token_state *state_r)
    __attribute__((nonnull));

/* The trial is over: what it came to is the TPSP's from now on where its configuration, which is written, is
 * the one that was tried; else it goes. tpsp NULL: there is none of that name. */
void token_file_settle(const char *state_dir, const char *name, const struct config_tpsp *tpsp)
    __attribute__((nonnull(1, 2)));

/*
 * A place for what is to come is taken before the provider is asked, with the lock that keeps others from it:
 * a full disk, or a file that we may not read, is found out while the old token is still good. Then written
 * and committed, or given up. A commit takes the access token, and what there is of a refresh token for
 * token_by_login(); a note takes the failure alone.
 */
struct token_place;
struct token_place *token_place_take(const char *state_dir, const struct config_tpsp *tpsp,
                                     struct outcome *error_r) __attribute__((nonnull));
bool token_place_commit(struct token_place *place, const struct token_state *state, struct outcome *error_r)
    __attribute__((nonnull));
bool token_place_note_failure(struct token_place *place, const struct token_state *state,
                              struct outcome *error_r) __attribute__((nonnull));
void token_place_give_up(struct token_place *place); /* NULL is fine */

/* What tells refresh tokens of the configuration apart without telling them: sixteen digits of a hash; ""
 * where there is none. Hosts that have the same one disturb each other where the provider rotates it. */
#define TOKEN_SEED_SIZE 17
void token_seed_fingerprint(const struct config_oauth *oauth, char fingerprint_r[TOKEN_SEED_SIZE])
    __attribute__((nonnull));

void token_state_clear(struct token_state *state) __attribute__((nonnull));

#endif
