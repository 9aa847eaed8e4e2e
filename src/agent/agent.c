#include "agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "agent/board.h"
#include "agent/chores.h"
#include "agent/cluster_keeper.h"
#include "agent/http_process.h"
#include "agent/ingest.h"
#include "agent/ingest_lock.h"
#include "agent/reporter.h"
#include "agent/service_manager.h"
#include "agent/stall.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/state_dir.h"
#include "base/xalloc.h"

#define LOOK_MS 1000 /* the log is looked at without a call from the kernel, too */
#define GATHER_MS 20 /* lines that come one by one are taken together: one transaction each would be dear */
#define TURN_MS 2    /* for those who wait for the store while much is read */
#define TROUBLE_MIN_MS 500 /* between attempts while the store or the log is in trouble */
#define TROUBLE_MAX_MS 30000
#define WARNING_MS (60 * 60 * 1000LL) /* at most one correlation warning in this time */
#define PROGRESS_MS 200
#define ROTATION_MS 5000 /* a log that is rotated is away for a moment */

/* What one reading of the configuration has brought up. */
struct agent {
    const struct agent_options *options;
    struct config *config;
    struct store *store;
    struct classify_rules *rules;
    int ingest_lock; /* -1: not held */
    struct ingest *ingest;
    struct chores *chores;
    struct reporter *reporter;
    struct http_process *http;
    struct cluster_keeper *cluster;
    struct board *board;
    struct stall stall;
    int signals; /* signalfd(2) */

    uint64_t events_told; /* to the reporter */
    uint64_t uncorrelated_told, untrusted_told;
    bool unread_told;
    int64_t warned_ms, trust_warned_ms, progress_ms;
    int64_t trouble_ms; /* how long to wait after the next failure */
    char trouble[BOARD_TEXT_SIZE];
    int64_t missing_since_ms; /* the log; 0: it is there */
};

/* --- telling -------------------------------------------------------------------------------------- */

static uint64_t events_of(const struct ingest_status *status)
{
    uint64_t sum = 0;

    for (size_t cs = 0; cs < sizeof status->events / sizeof *status->events; cs++)
        sum += status->events[cs];
    return sum;
}

/* The first one is said at once, so that a forgotten header_checks is seen; later ones once an hour. */
static void warn_of_correlation(struct agent *agent, const struct ingest_status *status)
{
    uint64_t count = status->counts.uncorrelated;
    int64_t now_ms = clock_monotonic_ms();

    if (count <= agent->uncorrelated_told || (agent->warned_ms > 0 && now_ms < agent->warned_ms + WARNING_MS))
        return;
    log_line(LOG_WARNING, "correlation: %llu delivery lines without a message UUID so far; %s",
             (unsigned long long)count, BOARD_CORRELATION_REMEDY);
    agent->uncorrelated_told = count;
    agent->warned_ms = now_ms;
}

/* As above: whoever runs his own senders outside of mynetworks wants to know at once. */
static void warn_of_strangers(struct agent *agent, const struct ingest_status *status)
{
    uint64_t count = status->counts.untrusted;
    int64_t now_ms = clock_monotonic_ms();

    if (count <= agent->untrusted_told ||
        (agent->trust_warned_ms > 0 && now_ms < agent->trust_warned_ms + WARNING_MS))
        return;
    log_line(LOG_WARNING, "trust: %llu delivery lines so far: %s", (unsigned long long)count,
             BOARD_TRUST_REMEDY);
    agent->untrusted_told = count;
    agent->trust_warned_ms = now_ms;
}

/* Said once when it begins, and again when it was over. */
static void warn_of_unread(struct agent *agent, const struct ingest_status *status)
{
    if (status->unread > 0 && !agent->unread_told)
        log_line(LOG_ERR, "lines of Postfix in the log are not understood: \"%s\"", status->unread_line);
    agent->unread_told = status->unread > 0;
}

static void show_progress(struct agent *agent, const struct ingest_status *status, bool at_end)
{
    int64_t now_ms = clock_monotonic_ms();

    if (!agent->options->once || !isatty(STDERR_FILENO) ||
        (!at_end && now_ms < agent->progress_ms + PROGRESS_MS))
        return;
    agent->progress_ms = now_ms;
    double part = status->size > 0 ? 100.0 * (double)status->offset / (double)status->size : 100;
    fprintf(stderr, "\r\033[K[%-30.*s] %3.0f%%  %llu lines, %llu events%s", (int)(part * 0.3),
            "##############################", part, (unsigned long long)status->counts.lines,
            (unsigned long long)events_of(status), at_end ? "\n" : "");
    fflush(stderr);
}

/* One that was never there is missed at once, one that was read until it is surely not being rotated. */
static void miss_log(struct agent *agent, bool being_read)
{
    int64_t now_ms = clock_monotonic_ms();

    if (*agent->config->log_path != '/' || access(agent->config->log_path, F_OK) == 0 || errno != ENOENT)
        agent->missing_since_ms = 0;
    else if (agent->missing_since_ms == 0)
        agent->missing_since_ms = now_ms;
    board_note_missing(agent->board, agent->missing_since_ms > 0 &&
                                         (!being_read || now_ms > agent->missing_since_ms + ROTATION_MS));
}

static void tell(struct agent *agent, bool at_end)
{
    struct ingest_status status;

    ingest_status(agent->ingest, &status);
    board_note_ingest(agent->board, &status);
    miss_log(agent, status.path != NULL);
    warn_of_correlation(agent, &status);
    warn_of_strangers(agent, &status);
    warn_of_unread(agent, &status);
    show_progress(agent, &status, at_end);
    uint64_t events = events_of(&status);
    if (agent->reporter != NULL && events > agent->events_told)
        reporter_wake(agent->reporter, events - agent->events_told);
    agent->events_told = events;
    board_note_stalled(agent->board, stall_look(&agent->stall, status.log_written_ms, clock_realtime_ms()));
}

static void note_trouble(struct agent *agent, const struct outcome *error)
{
    board_note_log_error(agent->board, error->text);
    if (strcmp(agent->trouble, error->text) != 0)
        log_line(LOG_ERR, "the log is not being read: %s", error->text);
    snprintf(agent->trouble, sizeof agent->trouble, "%.*s", (int)sizeof agent->trouble - 1, error->text);
    agent->trouble_ms = agent->trouble_ms == 0 ? TROUBLE_MIN_MS : 2 * agent->trouble_ms;
    if (agent->trouble_ms > TROUBLE_MAX_MS)
        agent->trouble_ms = TROUBLE_MAX_MS;
}

static void note_recovery(struct agent *agent)
{
    if (agent->trouble[0] == '\0')
        return;
    log_line(LOG_INFO, "the log is being read again");
    board_note_log_error(agent->board, "");
    agent->trouble[0] = '\0';
    agent->trouble_ms = 0;
}

/* --- starting and stopping ------------------------------------------------------------------------ */

static void bring_down(struct agent *agent)
{
    http_process_stop(agent->http);
    cluster_keeper_stop(agent->cluster);
    chores_stop(agent->chores);
    agent->chores = NULL;
    reporter_stop(agent->reporter);
    ingest_close(agent->ingest);
    cleanup_close(&agent->ingest_lock);
    classify_close(agent->rules);
    store_close(agent->store);
    config_free(agent->config);
    agent->http = NULL;
    agent->cluster = NULL;
    agent->reporter = NULL;
    agent->ingest_lock = -1;
    agent->ingest = NULL;
    agent->rules = NULL;
    agent->store = NULL;
    agent->config = NULL;
}

static bool bring_up(struct agent *agent, struct config *config, struct outcome *error_r)
{
    agent->config = config;
    if (!state_dir_become_owner(config->state_dir, AGENT_GROUPS, error_r))
        return false;
    if (config->listen != NULL &&
        !agent->options->once) /* while there is no other thread, and no store open */
        agent->http = http_process_start(config, agent->board);
    agent->ingest_lock = ingest_lock(config->state_dir, error_r);
    if (agent->ingest_lock < 0 || !store_open(&agent->store, config->state_dir, error_r))
        return false;
    agent->rules = classify_open_beside(config->path);
    agent->ingest = ingest_open(config, agent->store, agent->rules, agent->options->from_start, error_r);
    agent->events_told = agent->uncorrelated_told = agent->untrusted_told = 0;
    stall_init(&agent->stall, clock_realtime_ms());
    if (agent->ingest == NULL)
        return false;
    if (agent->options->once) /* reports when it has read all: two at the store at once would be slower */
        return true;
    agent->chores = chores_start(config, agent->board);
    agent->reporter = reporter_start(config, agent->board, error_r);
    if (agent->reporter == NULL)
        return false;
    if (config->cluster.server_count > 0) {
        agent->cluster = cluster_keeper_start(config, agent->board, error_r);
        if (agent->cluster == NULL)
            return false;
    }
    http_process_listen(agent->http);
    return true;
}

/* A configuration that cannot be used leaves the one at work in place. */
static struct config *load(const struct agent_options *options, struct outcome *error_r)
{
    struct config *config = config_load(options->config_path, error_r);

    if (config != NULL && !overrides_apply(&options->overrides, config, error_r)) {
        config_free(config);
        config = NULL;
    }
    return config;
}

static bool reload(struct agent *agent)
{
    struct outcome error;
    service_manager_reloading();
    struct config *fresh = load(agent->options, &error);

    if (fresh == NULL) {
        log_line(LOG_ERR, "the configuration is not reloaded: %s", error.text);
        service_manager_ready();
        return true;
    }
    bring_down(agent);
    if (!bring_up(agent, fresh, &error)) {
        log_line(LOG_ERR, "cannot go on after reloading the configuration: %s", error.text);
        return false;
    }
    log_line(LOG_INFO, "configuration reloaded");
    service_manager_ready();
    return true;
}

/* --- running -------------------------------------------------------------------------------------- */

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* of all threads to come as well */
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* 0: none. */
static int take_signal(const struct agent *agent)
{
    struct signalfd_siginfo info;

    return read(agent->signals, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

static void wait_for_signal(const struct agent *agent, int64_t timeout_ms)
{
    struct pollfd descriptor = {.fd = agent->signals, .events = POLLIN};

    poll(&descriptor, 1, (int)timeout_ms);
}

static enum ingest_result step(struct agent *agent)
{
    struct outcome error;
    enum ingest_result result = ingest_step(agent->ingest, &error);

    if (result == INGEST_TROUBLE)
        note_trouble(agent, &error);
    else
        note_recovery(agent);
    return result;
}

/* A log of which nothing was read although there is something in it: no word of it was reported. */
static bool is_log_closed_to_us(const struct agent *agent)
{
    const char *path = agent->config->log_path;
    struct ingest_status ingest;
    struct stat status;

    ingest_status(agent->ingest, &ingest);
    return ingest.path == NULL && *path == '/' && stat(path, &status) == 0 && status.st_size > 0;
}

static int run_once(struct agent *agent)
{
    enum ingest_result result;
    struct outcome error = {.text = "some events are not due, or another process is at them"};

    while ((result = step(agent)) == INGEST_WORKED) {
        tell(agent, false);
        int number = take_signal(agent);
        if (number == SIGTERM || number == SIGINT)
            return EX_TEMPFAIL;
    }
    tell(agent, true);
    if (result == INGEST_TROUBLE)
        return EX_TEMPFAIL;
    if (is_log_closed_to_us(agent)) {
        log_line(LOG_ERR, "%s could not be read: see that this user may open it, and run this again",
                 agent->config->log_path);
        return EX_TEMPFAIL;
    }
    if (agent->config->endpoint == NULL || reporter_flush(agent->config, agent->store, agent->board, &error))
        return EX_OK;
    log_line(LOG_WARNING, "events stay pending: %s", error.text);
    return EX_TEMPFAIL;
}

static int run_until_told(struct agent *agent)
{
    service_manager_ready();
    for (;;) {
        int number = take_signal(agent);
        if (number == SIGTERM || number == SIGINT)
            return EX_OK;
        if (number == SIGHUP && !reload(agent))
            return EX_TEMPFAIL;
        enum ingest_result result = step(agent);
        service_manager_alive();
        tell(agent, false);
        if (result == INGEST_TROUBLE) {
            wait_for_signal(agent, agent->trouble_ms);
        } else if (result == INGEST_WORKED) {
            wait_for_signal(agent, TURN_MS);
        } else {
            ingest_wait(agent->ingest, agent->signals, LOOK_MS);
            wait_for_signal(agent, GATHER_MS);
        }
    }
}

int agent_run(const struct agent_options *options)
{
    struct agent *agent = xcalloc(1, sizeof *agent);
    struct outcome error;
    int status = EX_TEMPFAIL;

    agent->options = options;
    agent->ingest_lock = -1;
    agent->signals = open_signals();
    struct config *config = load(options, &error);
    if (config != NULL && (agent->board = board_new(config->log_path, clock_realtime_ms())) == NULL)
        outcome_local(&error, "4.3.0", "no memory");
    if (config == NULL || agent->board == NULL || !bring_up(agent, config, &error)) {
        log_line(LOG_ERR, "%s", error.text);
        if (!options->verbose)
            fprintf(stderr, "sendpost-agent: %s\n", error.text);
    } else {
        log_line(LOG_INFO, "following %s", config->log_path);
        if (*config->log_path == '/' && access(config->log_path, F_OK) != 0)
            log_line(LOG_WARNING, "%s is not there: waiting for it; if it never comes, correct log-path",
                     config->log_path);
        status = options->once ? run_once(agent) : run_until_told(agent);
        service_manager_stopping();
    }
    bring_down(agent);
    close(agent->signals);
    free(agent);
    return status;
}
