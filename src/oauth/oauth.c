#include "oauth/oauth.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "net/http_client.h"
#include "oauth/oauth_request.h"
#include "store/store.h"

#define AHEAD_MS (5 * 60000LL)
#define YOUNG_MS 60000 /* a token that is refused at this age is not made good by another one */
#define ASK_MS 20000   /* for one request to a provider */
#define FIRST_WAIT_MS 10000LL
#define LONGEST_WAIT_MS (5 * 60000LL)
#define CLOCK_SLACK_MS 1000 /* by which a well-kept clock may go back */

/* The connection to one provider: TPSPs with the same CA settings may share it, but nobody is in a hurry. */
struct connection {
    const struct config_oauth *settings;
    struct http_client *client;
};

struct oauth {
    const struct config *config;
    FILE *trace;
    struct connection connection;
};

struct oauth *oauth_open(const struct config *config, FILE *trace)
{
    struct oauth *oauth = xcalloc(1, sizeof *oauth);

    oauth->config = config;
    oauth->trace = trace;
    return oauth;
}

void oauth_close(struct oauth *oauth)
{
    if (oauth == NULL)
        return;
    http_client_close(oauth->connection.client);
    free(oauth);
}

static struct http_client *client_for(struct oauth *oauth, const struct config_oauth *settings)
{
    struct connection *connection = &oauth->connection;

    if (connection->settings != settings) {
        http_client_close(connection->client);
        connection->client = http_client_open(oauth->config, &settings->tls, oauth->trace);
        connection->settings = settings;
    }
    return connection->client;
}

/* --- the state of a token --------------------------------------------------------------------------------
 */

/* What was received in the future is of a clock that has been put back since: who knows how old it is? */
static bool is_good(const struct token_state *state, int64_t now_ms)
{
    return state->access_token != NULL && now_ms < state->expires_ms &&
           state->received_ms <= now_ms + CLOCK_SLACK_MS;
}

static bool is_due(const struct token_state *state, int64_t ahead_ms, int64_t now_ms)
{
    int64_t life_ms = state->expires_ms - state->received_ms;
    int64_t margin_ms = ahead_ms < life_ms / 2 ? ahead_ms : life_ms / 2;

    return !is_good(state, now_ms) || now_ms >= state->expires_ms - margin_ms;
}

static void take_answer(struct token_state *state, struct token_answer *answer, bool by_login, int64_t now_ms)
{
    secret_free(&state->access_token);
    state->access_token = answer->access_token;
    answer->access_token = NULL;
    /* One that comes with client credentials (RFC 6749 section 4.4.3: SHOULD NOT) would outlive its use: when
     * the session behind it ends, there is nobody who could log in again. */
    if (by_login && answer->refresh_token != NULL) {
        secret_free(&state->refresh_token);
        state->refresh_token = answer->refresh_token;
        answer->refresh_token = NULL;
        state->refresh_expires_ms = 0;
    }
    if (by_login && answer->refresh_life_s > 0)
        state->refresh_expires_ms = now_ms + answer->refresh_life_s * 1000;
    state->received_ms = now_ms;
    state->expires_ms = now_ms + answer->life_s * 1000;
    state->failures = 0;
    state->next_try_ms = 0;
    state->error[0] = '\0';
}

static void take_failure(struct token_state *state, const char *why, int64_t now_ms)
{
    int64_t wait_ms = FIRST_WAIT_MS;

    for (int i = 0; i < state->failures && wait_ms < LONGEST_WAIT_MS; i++)
        wait_ms *= 2;
    state->failures++;
    state->next_try_ms = now_ms + (wait_ms < LONGEST_WAIT_MS ? wait_ms : LONGEST_WAIT_MS);
    snprintf(state->error, sizeof state->error, "%s", why);
}

/* --- renewing --------------------------------------------------------------------------------------------
 */

static void set_trouble(struct outcome *error_r, const struct config_tpsp *tpsp, const char *why)
{
    bool lost = strncmp(why, "invalid_grant", 13) == 0;

    outcome_local(error_r, "4.7.0", "no OAuth token for tpsp %s from %s: %.300s%s", tpsp->name,
                  tpsp->oauth.token_endpoint, why, lost ? "; log in again: sendpostctl setup --oauth" : "");
}

/* With the lock. The answer is on disk before it is used. */
static bool ask_provider(struct oauth *oauth, const struct config_tpsp *tpsp, struct token_state *state,
                         int64_t deadline_ms, struct outcome *error_r)
{
    const struct config_oauth *settings = &tpsp->oauth;
    const char *refresh = state->refresh_token != NULL ? state->refresh_token : settings->refresh_token;
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    struct token_place *place = token_place_take(oauth->config->state_dir, tpsp, error_r);
    struct token_answer answer;
    struct oauth_form form = {.text = NULL};
    char why[320];

    if (place == NULL)
        return false;
    if (refresh == NULL && settings->refresh_token_path != NULL) {
        token_place_give_up(place);
        set_trouble(error_r, tpsp, "there was no login yet; run sendpostctl setup --oauth");
        return false;
    }
    oauth_form_add(&form, "grant_type", refresh != NULL ? "refresh_token" : "client_credentials");
    oauth_form_add_secret(&form, "refresh_token", refresh);
    oauth_form_add(&form, "scope", settings->scope);
    bool ok = oauth_request(client_for(oauth, settings), settings, settings->token_endpoint, &form,
                            left_ms < ASK_MS ? left_ms : ASK_MS, &answer, why, sizeof why);
    secret_free(&form.text);
    if (ok) {
        take_answer(state, &answer, token_by_login(settings), clock_realtime_ms());
    } else {
        take_failure(state, why, clock_realtime_ms());
        set_trouble(error_r, tpsp, why);
        log_line(is_good(state, clock_realtime_ms()) ? LOG_WARNING : LOG_ERR, "%s", error_r->text);
    }
    token_answer_clear(&answer);
    struct outcome trouble;
    if (!(ok ? token_place_commit : token_place_note_failure)(place, state, &trouble)) {
        log_line(LOG_ERR, "%s", trouble.text);
        if (ok) /* the token is good all the same; what may be lost is a rotated refresh token */
            log_line(LOG_ERR, "tpsp %s may need a new login once this token is used up", tpsp->name);
    }
    return ok;
}

/* What is to be had: a good token that is not the refused one. may_wait: not only if nobody else is at it. */
static bool renew(struct oauth *oauth, const struct config_tpsp *tpsp, const char *refused, int64_t ahead_ms,
                  bool may_wait, int64_t deadline_ms, struct token_state *state, struct outcome *error_r)
{
    AUTO_FREE char *name = xasprintf("oauth-%s", tpsp->name);
    int64_t now_ms = clock_monotonic_ms();
    AUTO_CLOSE int turn =
        store_lock(oauth->config->state_dir, name, may_wait ? deadline_ms : now_ms, error_r);

    if (turn < 0)
        return false;
    token_state_clear(state);
    token_file_read(oauth->config->state_dir, tpsp, state);
    now_ms = clock_realtime_ms();
    bool is_refused =
        refused != NULL && state->access_token != NULL && strcmp(state->access_token, refused) == 0;
    if (!is_refused && !is_due(state, ahead_ms, now_ms))
        return true; /* somebody has done it meanwhile */
    if (is_refused && is_good(state, now_ms) && now_ms - state->received_ms < YOUNG_MS) {
        set_trouble(error_r, tpsp, "the mail server refuses a token that was given out a moment ago");
        return false;
    }
    if (now_ms < state->next_try_ms && state->next_try_ms <= now_ms + LONGEST_WAIT_MS) {
        char why[400];
        snprintf(why, sizeof why, "%s; not asked again for %lld s", state->error,
                 (long long)((state->next_try_ms - now_ms + 999) / 1000));
        set_trouble(error_r, tpsp, why);
        return false;
    }
    /* with the lock: whoever has read a newer one comes to its turn after this */
    if (!config_is_current(oauth->config)) {
        set_trouble(
            error_r, tpsp,
            "the configuration was changed after this program had read it, and counts when it is read again");
        return false;
    }
    return ask_provider(oauth, tpsp, state, deadline_ms, error_r);
}

static bool hand_over(struct token_state *state, char **token_r)
{
    *token_r = state->access_token;
    state->access_token = NULL;
    token_state_clear(state);
    return true;
}

bool oauth_token(struct oauth *oauth, const struct config_tpsp *tpsp, int64_t deadline_ms, char **token_r,
                 struct outcome *error_r)
{
    struct token_state state;
    bool ok = true;

    token_file_read(oauth->config->state_dir, tpsp, &state);
    if (is_due(&state, AHEAD_MS, clock_realtime_ms()))
        ok = renew(oauth, tpsp, NULL, AHEAD_MS, !is_good(&state, clock_realtime_ms()), deadline_ms, &state,
                   error_r);
    if (!ok && !is_good(&state, clock_realtime_ms())) {
        token_state_clear(&state);
        return false;
    }
    return hand_over(&state, token_r);
}

bool oauth_replace(struct oauth *oauth, const struct config_tpsp *tpsp, const char *refused,
                   int64_t deadline_ms, char **token_r, struct outcome *error_r)
{
    struct token_state state = {.failures = 0};

    if (!renew(oauth, tpsp, refused, AHEAD_MS, true, deadline_ms, &state, error_r)) {
        token_state_clear(&state);
        return false;
    }
    return hand_over(&state, token_r);
}

bool oauth_keep(struct oauth *oauth, const struct config_tpsp *tpsp, int64_t ahead_ms, int64_t deadline_ms,
                struct outcome *error_r)
{
    struct token_state state;
    bool ok = true;

    token_file_read(oauth->config->state_dir, tpsp, &state);
    if (is_due(&state, ahead_ms, clock_realtime_ms()))
        ok = renew(oauth, tpsp, NULL, ahead_ms, true, deadline_ms, &state, error_r);
    token_state_clear(&state);
    return ok;
}

/* --- device login ------------------------------------------------------------------------------------------
 */

bool oauth_device_begin(struct oauth *oauth, const struct config_oauth *settings,
                        struct oauth_device *device_r, struct outcome *error_r)
{
    struct oauth_form form = {.text = NULL};
    struct token_answer answer;
    char why[320];

    *device_r = (struct oauth_device){.code = NULL};
    oauth_form_add(&form, "scope", settings->scope);
    bool ok = oauth_request(client_for(oauth, settings), settings, settings->device_endpoint, &form, ASK_MS,
                            &answer, why, sizeof why) &&
              answer.device_code != NULL;
    secret_free(&form.text);
    if (ok) {
        *device_r = (struct oauth_device){.code = answer.device_code,
                                          .user_code = answer.user_code,
                                          .uri = answer.verification_uri,
                                          .interval_s = answer.interval_s,
                                          .life_s = answer.life_s};
        answer.device_code = answer.user_code = answer.verification_uri = NULL;
    } else {
        outcome_local(error_r, "4.7.0", "%s begins no login: %s", settings->device_endpoint, why);
    }
    token_answer_clear(&answer);
    return ok;
}

enum oauth_device_progress oauth_device_ask(struct oauth *oauth, const struct config_oauth *settings,
                                            struct oauth_device *device, char **refresh_token_r,
                                            struct outcome *error_r)
{
    enum oauth_device_progress progress = OAUTH_DEVICE_FAILED;
    struct oauth_form form = {.text = NULL};
    struct token_answer answer;
    char why[320] = "the provider gives no refresh token; add offline_access to scope";

    *refresh_token_r = NULL;
    oauth_form_add(&form, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    oauth_form_add_secret(&form, "device_code", device->code);
    bool ok = oauth_request(client_for(oauth, settings), settings, settings->token_endpoint, &form, ASK_MS,
                            &answer, why, sizeof why);
    secret_free(&form.text);
    if (ok && answer.refresh_token != NULL) {
        *refresh_token_r = answer.refresh_token;
        answer.refresh_token = NULL;
        progress = OAUTH_DEVICE_DONE;
    } else if (!ok &&
               (strcmp(answer.error, "authorization_pending") == 0 || strncmp(why, "no answer", 9) == 0)) {
        progress = OAUTH_DEVICE_WAIT; /* RFC 8628 section 3.5 */
    } else if (!ok && strcmp(answer.error, "slow_down") == 0) {
        device->interval_s += 5;
        progress = OAUTH_DEVICE_WAIT;
    } else {
        outcome_local(error_r, "4.7.0", "%s gives no token: %s", settings->token_endpoint, why);
    }
    token_answer_clear(&answer);
    return progress;
}

void oauth_device_clear(struct oauth_device *device)
{
    secret_free(&device->code);
    free(device->user_code);
    free(device->uri);
    *device = (struct oauth_device){.code = NULL};
}
