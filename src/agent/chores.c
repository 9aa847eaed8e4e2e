#include "agent/chores.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "oauth/oauth.h"
#include "sendpost/sync.h"
#include "store/store.h"

#define LOOK_S 10               /* how often it is looked whether something is due */
#define AHEAD_MS (10 * 60000LL) /* twice what a delivery waits for */
#define TOKEN_MS 15000          /* for one renewal; then a wish to stop is seen */

struct chores {
    const struct config *config;
    /* for tokens, read again when it has changed; NULL: still the one above */
    struct config *newer;
    struct board *board;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    int64_t sync_due_ms; /* clock_monotonic_ms() */
    enum sync_role role;
    char told[BOARD_TEXT_SIZE]; /* the trouble of the last synchronisation; "" */
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
    board_lock(board);
    board->facts.tokens[place] = token;
    if (board->facts.token_count <= place)
        board->facts.token_count = place + 1;
    board_unlock(board);
}

static bool stopping(struct chores *chores)
{
    pthread_mutex_lock(&chores->lock);
    bool stop = chores->stop;
    pthread_mutex_unlock(&chores->lock);
    return stop;
}

/*
 * Deliveries log in by what the configuration says now, and a new login (setup --oauth) is a change of it:
 * the tokens that they need are those to be kept. One that cannot be used is complained of by each delivery;
 * until it can, oauth asks nobody.
 */
static const struct config *token_config(struct chores *chores, struct oauth **oauth)
{
    const struct config *known = chores->newer != NULL ? chores->newer : chores->config;
    struct outcome ignored;

    if (config_is_current(known))
        return known;
    struct config *newer = config_load(known->path, &ignored);
    if (newer == NULL)
        return known;
    oauth_close(*oauth);
    config_free(chores->newer);
    chores->newer = newer;
    *oauth = oauth_open(newer, NULL);
    return newer;
}

static void keep_tokens(struct chores *chores, struct oauth **oauth)
{
    const struct config *config = token_config(chores, oauth);
    size_t place = 0;

    for (size_t i = 0; i < config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &config->tpsps[i];
        struct token_state state;
        struct outcome ignored; /* oauth_keep() has logged it, and the file has it */
        if (stopping(chores))
            return;
        if (tpsp->oauth.token_endpoint == NULL)
            continue;
        oauth_keep(*oauth, tpsp, AHEAD_MS, clock_monotonic_ms() + TOKEN_MS, &ignored);
        token_file_read(config->state_dir, tpsp, &state);
        note_token(chores->board, place++, tpsp, &state);
        token_state_clear(&state);
    }
    board_lock(chores->board);
    chores->board->facts.token_count = place < BOARD_TOKENS_MAX ? place : BOARD_TOKENS_MAX;
    board_unlock(chores->board);
}

/* False: stop. */
static bool rest(struct chores *chores)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += chores->role == SYNC_UNKNOWN ? 1 : LOOK_S;
    pthread_mutex_lock(&chores->lock);
    while (!chores->stop && pthread_cond_timedwait(&chores->wake, &chores->lock, &until) == 0)
        ;
    bool go_on = !chores->stop;
    pthread_mutex_unlock(&chores->lock);
    return go_on;
}

/* In a cluster one host synchronises for all. True: what this one does has changed. */
static bool role_changes(struct chores *chores)
{
    enum sync_role before = chores->role;

    pthread_mutex_lock(&chores->board->lock);
    const struct board_cluster *cluster = &chores->board->facts.cluster;
    chores->role = chores->config->cluster.server_count == 0 || cluster->leads_sync ? SYNC_LEADER
                   : cluster->sync_leader[0] != '\0'                                ? SYNC_FOLLOWER
                                                                                    : SYNC_UNKNOWN;
    pthread_mutex_unlock(&chores->board->lock);
    return chores->role != before;
}

/* Until all is the same, trouble, or a wish to stop. Another process may be at it: then it is done there. */
static void synchronise(struct chores *chores, struct store *store, struct sync *sync)
{
    struct outcome error;
    AUTO_CLOSE int turn = store_lock(chores->config->state_dir, "sync", clock_monotonic_ms(), &error);
    enum sync_progress progress = SYNC_MORE;

    if (turn < 0 || !store_renew(store, &error))
        return;
    role_changes(chores);
    sync_play(sync, chores->role);
    while (progress == SYNC_MORE && !stopping(chores) && !role_changes(chores))
        progress = sync_step(sync, &error);
    chores->sync_due_ms = clock_monotonic_ms() + chores->config->sendpost.interval_ms;
    if (progress == SYNC_TROUBLE) {
        if (sync_wait_ms(sync) > chores->config->sendpost.interval_ms)
            chores->sync_due_ms = clock_monotonic_ms() + sync_wait_ms(sync);
        if (strcmp(chores->told, error.text) != 0)
            log_line(LOG_WARNING, "%s", error.text);
    }
    snprintf(chores->told, sizeof chores->told, "%.500s", progress == SYNC_TROUBLE ? error.text : "");
    board_lock(chores->board);
    snprintf(chores->board->facts.sync_error, sizeof chores->board->facts.sync_error, "%s", chores->told);
    chores->board->facts.sync_last_ms = (int64_t)store_get_number(store, "sendpost.last");
    chores->board->facts.sync_gone = (int64_t)store_get_number(store, "sendpost.gone");
    board_unlock(chores->board);
    store_rest(store);
}

static void *run(void *context)
{
    struct chores *chores = context;
    struct oauth *oauth = oauth_open(chores->config, NULL);
    struct store *store = NULL;
    struct outcome error;
    bool syncs = chores->config->sendpost.endpoint != NULL;

    if (syncs && !store_open(&store, chores->config->state_dir, &error)) {
        log_line(LOG_ERR, "nothing is synchronised with SendPost: %s", error.text);
        syncs = false;
    }
    struct sync *sync = syncs ? sync_open(chores->config, store, NULL) : NULL;
    do {
        keep_tokens(chores, &oauth);
        if (sync != NULL && (role_changes(chores) || clock_monotonic_ms() >= chores->sync_due_ms))
            synchronise(chores, store, sync);
    } while (rest(chores));
    sync_close(sync);
    store_close(store);
    oauth_close(oauth);
    config_free(chores->newer);
    return NULL;
}

static bool has_chores(const struct config *config)
{
    if (config->sendpost.endpoint != NULL)
        return true;
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
