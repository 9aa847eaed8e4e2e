#include "agent/chores.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "oauth/oauth.h"

#define TOKENS_S 20             /* how often tokens are looked at */
#define AHEAD_MS (10 * 60000LL) /* twice what a delivery waits for */
#define TOKEN_MS 15000          /* for one renewal; then a wish to stop is seen */

struct chores {
    const struct config *config;
    struct board *board;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

static void note_token(struct board *board, size_t place, const struct config_tpsp *tpsp,
                       const struct token_state *state)
{
    struct board_token token = {.expires_ms = state->access_token != NULL ? state->expires_ms : 0,
                                .refresh_expires_ms = state->refresh_expires_ms};

    if (place >= BOARD_TOKENS_MAX)
        return;
    snprintf(token.tpsp, sizeof token.tpsp, "%s", tpsp->name);
    snprintf(token.error, sizeof token.error, "%s", state->error);
    pthread_mutex_lock(&board->lock);
    board->facts.tokens[place] = token;
    if (board->facts.token_count <= place)
        board->facts.token_count = place + 1;
    pthread_mutex_unlock(&board->lock);
}

static bool stopping(struct chores *chores)
{
    pthread_mutex_lock(&chores->lock);
    bool stop = chores->stop;
    pthread_mutex_unlock(&chores->lock);
    return stop;
}

static void keep_tokens(struct chores *chores, struct oauth *oauth)
{
    size_t place = 0;

    for (size_t i = 0; i < chores->config->tpsp_count && !stopping(chores); i++) {
        const struct config_tpsp *tpsp = &chores->config->tpsps[i];
        struct token_state state;
        struct outcome ignored; /* oauth_keep() has logged it, and the file has it */
        if (tpsp->oauth.token_endpoint == NULL)
            continue;
        oauth_keep(oauth, tpsp, AHEAD_MS, clock_monotonic_ms() + TOKEN_MS, &ignored);
        token_file_read(chores->config->state_dir, tpsp, &state);
        note_token(chores->board, place++, tpsp, &state);
        token_state_clear(&state);
    }
}

/* False: stop. */
static bool rest(struct chores *chores)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TOKENS_S;
    pthread_mutex_lock(&chores->lock);
    while (!chores->stop && pthread_cond_timedwait(&chores->wake, &chores->lock, &until) == 0)
        ;
    bool go_on = !chores->stop;
    pthread_mutex_unlock(&chores->lock);
    return go_on;
}

static void *run(void *context)
{
    struct chores *chores = context;
    struct oauth *oauth = oauth_open(chores->config, NULL);

    do {
        keep_tokens(chores, oauth);
    } while (rest(chores));
    oauth_close(oauth);
    return NULL;
}

static bool has_chores(const struct config *config)
{
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].oauth.token_endpoint != NULL)
            return true;
    return false;
}

struct chores *chores_start(const struct config *config, struct board *board)
{
    pthread_condattr_t attributes;

    if (!has_chores(config))
        return NULL;
    struct chores *chores = xcalloc(1, sizeof *chores);
    chores->config = config;
    chores->board = board;
    pthread_mutex_init(&chores->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&chores->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int result = pthread_create(&chores->thread, NULL, run, chores);
    if (result == 0)
        return chores;
    log_line(LOG_ERR, "tokens are not renewed in advance: cannot start a thread: %s", strerror(result));
    pthread_cond_destroy(&chores->wake);
    pthread_mutex_destroy(&chores->lock);
    free(chores);
    return NULL;
}

void chores_stop(struct chores *chores)
{
    if (chores == NULL)
        return;
    pthread_mutex_lock(&chores->lock);
    chores->stop = true;
    pthread_cond_signal(&chores->wake);
    pthread_mutex_unlock(&chores->lock);
    pthread_join(chores->thread, NULL);
    pthread_cond_destroy(&chores->wake);
    pthread_mutex_destroy(&chores->lock);
    free(chores);
}
