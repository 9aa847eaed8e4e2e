#include "agent/reporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "delivery/recover.h"
#include "event/event_clock.h"
#include "event/event_gzip.h"
#include "event/event_store.h"
#include "event/event_watch.h"
#include "policy/standing.h"
#include "policy/suppression.h"

#define ROUND_MS 2000 /* then the status is brought up to date, and a wish to stop is seen */
#define TROUBLE_MS 5000
#define FLUSH_MS (24 * 3600 * 1000LL)

struct reporter {
    const struct config *config;
    struct board *board;
    struct store *store;
    struct event_reporter *api;
    int watch; /* deliveries may leave their events; -1: not yet */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint64_t waiting; /* events committed since the last round */
    int64_t first_ms; /* when the first of them was; 0: none */
    bool stop;
};

static void on_post(void *context, int status, int64_t elapsed_ms)
{
    board_note_post(context, status, elapsed_ms);
}

/* A list of its own, swapped in when it is complete. */
struct held_list {
    struct board_held items[BOARD_HELD_MAX];
    size_t count;
};

static void note_held(void *context, const struct config_tpsp *tpsp, const struct standing *standing,
                      int64_t messages)
{
    struct held_list *list = context;

    if (list->count == BOARD_HELD_MAX)
        return;
    struct board_held *held = &list->items[list->count++];
    *held = (struct board_held){.since_ms = standing->held_ms, .messages = messages};
    snprintf(held->tpsp, sizeof held->tpsp, "%s", tpsp->name);
    snprintf(held->text, sizeof held->text, "%.500s%s%.500s", standing->text,
             standing->mend[0] != '\0' ? "; see " : "", standing->mend);
}

static struct event_reporter *open_api(const struct config *config, struct store *store, struct board *board)
{
    return event_reporter_open(config, store,
                               &(struct event_reporter_options){
                                   .compress = event_gzip, .observe = on_post, .observe_context = board});
}

/* What the API said last ("HTTP 401: …", "no answer: …"), where, and what mends it. */
static void tell_api(const struct config *config, const char *last_error, char text_r[BOARD_TEXT_SIZE])
{
    int status = strncmp(last_error, "HTTP ", 5) == 0 ? atoi(last_error + 5) : 0;
    bool key = event_answer_of(status) == EVENT_ANSWER_KEY_REFUSED;

    snprintf(text_r, BOARD_TEXT_SIZE, "%.120s: %.160s; %s%.120s%s", config->endpoint, last_error,
             key ? "put the right key into the file of api-key-file in " : "events are kept; ",
             key ? config->path : "",
             key ? ", then: sendpostctl events flush" : "sendpostctl check tries it");
}

/* trouble: with the store, NULL for none. last_error: of the API. */
static void note(const struct config *config, struct board *board, struct store *store,
                 const struct event_report_counts *counts, const struct outcome *trouble,
                 const char *last_error)
{
    uint64_t no_bounces = store_get_number(store, "bounce.ignored"),
             nobodys_bounces = store_get_number(store, "bounce.unattributed"),
             unbelieved_bounces = store_get_number(store, "bounce.unbelieved"),
             complaints = store_get_number(store, SUPPRESSION_COMPLAINTS_KEY);
    int64_t pending = 0, rejected = 0, apart_s = event_clock_apart_s(store);
    struct held_list held = {.count = 0};
    struct outcome failure;
    unsigned corrupt_stores = store_leftovers(config->state_dir).count;

    standing_each_held(store, config, note_held, &held, &failure);
    event_store_count(store, EVENT_PENDING, &pending, &failure);
    event_store_count(store, EVENT_REJECTED, &rejected, &failure);
    board_lock(board);
    board->facts.clock_apart_s = apart_s;
    board->facts.pending = pending;
    board->facts.rejected = rejected;
    board->facts.corrupt_stores = corrupt_stores;
    memcpy(board->facts.held, held.items, held.count * sizeof held.items[0]);
    board->facts.held_count = held.count;
    board->facts.no_bounces = no_bounces;
    board->facts.nobodys_bounces = nobodys_bounces;
    board->facts.unbelieved_bounces = unbelieved_bounces;
    board->facts.complaints = complaints;
    board->facts.reported.reported += counts->reported;
    board->facts.reported.rejected += counts->rejected;
    /* what kept events back, or had one refused, is over when none is left: nobody would ask again */
    if (trouble == NULL && pending > 0 && *last_error != '\0' && config->endpoint != NULL)
        tell_api(config, last_error, board->facts.report_error);
    else
        snprintf(board->facts.report_error, sizeof board->facts.report_error, "%.*s", BOARD_TEXT_SIZE - 1,
                 trouble != NULL ? trouble->text : "");
    board_unlock(board);
}

/* Another agent may still have the watch; then it is taken over when that one ends. */
static void keep_watch(struct reporter *reporter, bool succeeded)
{
    struct outcome ignored;

    if (reporter->watch < 0)
        reporter->watch = event_watch_begin(reporter->config->state_dir, &ignored);
    if (succeeded)
        event_watch_succeeded(reporter->watch);
}

/* *more_r: there is more to do at once. */
static enum event_report_result one_round(struct reporter *reporter, bool *more_r)
{
    struct event_report_counts counts = {0};
    struct outcome error = {.text = ""};

    enum event_report_result result = EVENT_REPORT_TROUBLE;

    /* who only reads would stay for ever with a file that was moved away */
    if (store_renew(reporter->store, &error)) {
        recover_left(reporter->config, reporter->store);
        result = event_report_pending(reporter->api, false,
                                      clock_monotonic_ms() + ROUND_MS + reporter->config->report.timeout_ms,
                                      &counts, &error);
    }
    if (result == EVENT_REPORT_TROUBLE)
        log_line(LOG_ERR, "events cannot be reported now: %s", error.text);
    keep_watch(reporter, result == EVENT_REPORT_DONE || counts.reported > 0);
    note(reporter->config, reporter->board, reporter->store, &counts,
         result == EVENT_REPORT_TROUBLE ? &error : NULL, event_reporter_last_error(reporter->api));
    *more_r = result != EVENT_REPORT_TROUBLE && counts.unfinished;
    return result;
}

/* Until there is a batch, or the flush-interval is over. more: not at all. False: stop. */
static bool wait_for_work(struct reporter *reporter, int64_t at_least_ms, bool more)
{
    int64_t begun_ms = clock_monotonic_ms(), interval_ms = reporter->config->flush_interval_ms;
    bool stop;

    pthread_mutex_lock(&reporter->lock);
    while (!reporter->stop && !more) {
        int64_t now_ms = clock_monotonic_ms();
        int64_t due_ms = (reporter->first_ms > 0 ? reporter->first_ms : begun_ms) + interval_ms;
        bool batch = reporter->waiting >= reporter->config->batch_size;
        if (now_ms >= begun_ms + at_least_ms && (batch || now_ms >= due_ms))
            break;
        int64_t until_ms = batch || due_ms < begun_ms + at_least_ms ? begun_ms + at_least_ms : due_ms;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 1;
        until.tv_sec += left_ms / 1000;
        until.tv_nsec += left_ms % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&reporter->wake, &reporter->lock, &until);
    }
    reporter->waiting = 0;
    reporter->first_ms = 0;
    stop = reporter->stop;
    pthread_mutex_unlock(&reporter->lock);
    return !stop;
}

static void *run(void *context)
{
    struct reporter *reporter = context;
    enum event_report_result result = EVENT_REPORT_DONE;
    bool more;

    do {
        result = one_round(reporter, &more);
    } while (wait_for_work(reporter, result == EVENT_REPORT_TROUBLE ? TROUBLE_MS : 0, more));
    return NULL;
}

struct reporter *reporter_start(const struct config *config, struct board *board, struct outcome *error_r)
{
    struct reporter *reporter = xcalloc(1, sizeof *reporter);
    pthread_condattr_t attributes;

    reporter->config = config;
    reporter->board = board;
    reporter->watch = -1;
    if (!store_open(&reporter->store, config->state_dir, error_r)) {
        free(reporter);
        return NULL;
    }
    reporter->api = open_api(config, reporter->store, board);
    pthread_mutex_init(&reporter->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&reporter->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int result = pthread_create(&reporter->thread, NULL, run, reporter);
    if (result != 0) {
        outcome_local(error_r, "4.3.0", "cannot start a thread: %s", strerror(result));
        event_reporter_close(reporter->api);
        store_close(reporter->store);
        free(reporter);
        return NULL;
    }
    return reporter;
}

void reporter_wake(struct reporter *reporter, uint64_t events)
{
    pthread_mutex_lock(&reporter->lock);
    if (events > 0 && reporter->first_ms == 0)
        reporter->first_ms = clock_monotonic_ms();
    reporter->waiting += events;
    if (reporter->waiting >= reporter->config->batch_size)
        pthread_cond_signal(&reporter->wake);
    pthread_mutex_unlock(&reporter->lock);
}

void reporter_stop(struct reporter *reporter)
{
    if (reporter == NULL)
        return;
    pthread_mutex_lock(&reporter->lock);
    reporter->stop = true;
    pthread_cond_signal(&reporter->wake);
    pthread_mutex_unlock(&reporter->lock);
    pthread_join(reporter->thread, NULL);
    event_reporter_close(reporter->api);
    store_close(reporter->store);
    if (reporter->watch >= 0)
        close(reporter->watch);
    pthread_cond_destroy(&reporter->wake);
    pthread_mutex_destroy(&reporter->lock);
    free(reporter);
}

bool reporter_flush(const struct config *config, struct store *store, struct board *board,
                    struct outcome *error_r)
{
    struct event_reporter *api = open_api(config, store, board);
    struct event_report_counts counts = {0};
    int64_t pending = -1;

    recover_left(config, store);
    enum event_report_result result =
        event_report_pending(api, true, clock_monotonic_ms() + FLUSH_MS, &counts, error_r);
    if (result == EVENT_REPORT_KEPT)
        outcome_local(error_r, "4.3.0", "%s", event_reporter_last_error(api));
    note(config, board, store, &counts, NULL, event_reporter_last_error(api));
    event_reporter_close(api);
    return result == EVENT_REPORT_DONE && event_store_count(store, EVENT_PENDING, &pending, error_r) &&
           pending == 0;
}
