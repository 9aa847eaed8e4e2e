/*
 * sendpost-deliver: deliveries in a process of its own, started by sendpost-pipe and by nobody else. The
 * request comes over REQUEST_DESCRIPTOR, the message on standard input; the result goes back over
 * REQUEST_DESCRIPTOR. What is printed here, or by any library, ends in the log.
 *
 * After a delivery it stays a moment for the next one (supervisor/idle.h), as Postfix's own daemons do:
 * libraries, configuration, store and the connections to TPSP and API are there already, which is most of
 * what a delivery costs. One at a time; each finds its descriptors as if the process had been started for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/state_dir.h"
#include "base/uuid.h"
#include "base/xalloc.h"
#include "config/config.h"
#include "delivery/deliver.h"
#include "net/sigpipe.h"
#include "supervisor/channel.h"
#include "supervisor/idle.h"

#define DRY_RUN_SPOOL "/tmp" /* a dry run leaves the state directory alone */
#define IDLE_S 2 /* to stay for the next delivery; as long as smtp(8) keeps a connection for one */
/* what is read or resolved once (CA files, /etc/resolv.conf, addresses) is never older */
#define LIFE_MS 60000
#define HANGING_S 30 /* past the deadline: then something does not obey it, and the process ends */

struct deliverer {
    struct deliver_context context;
    struct idle_member member;
    bool may_stay;
    int64_t idle_ms;
    int64_t end_of_life_ms;
};

static struct delivery_result result_from_error(const struct outcome *error)
{
    log_line(LOG_ERR, "%s", error->text);
    return status_result(&(struct status_facts){.outcome = error});
}

/* Everything between configuration and result. */
static struct delivery_result run(struct deliverer *deliverer, const struct delivery_request *request)
{
    struct deliver_context *context = &deliverer->context;
    const struct config *config = context->config;
    struct delivery_result result;
    struct outcome error;

    /* who wants to see the dialogue has a process of his own: see begin() */
    context->trace = request->verbose ? stderr : NULL;
    struct message *message = message_read(STDIN_FILENO, request->dry_run ? DRY_RUN_SPOOL : config->state_dir,
                                           config->validation.max_message_size, &error);

    if (message == NULL) {
        result = result_from_error(&error);
    } else if (request->dry_run) {
        result = deliver_dry_run(context, request, message, stdout);
        fflush(stdout);
    } else if (!deliver_is_whole(message, request, channel_is_awaited, &error)) {
        result = result_from_error(&error);
    } else if (!deliver_open(context, &error)) {
        result = result_from_error(&error);
    } else {
        context->awaited = channel_is_awaited;
        relay_keep_connections(context->relay, deliverer->may_stay ? deliverer->idle_ms : 0);
        result = deliver(context, request, message);
    }
    message_free(message);
    return result;
}

/* As the manual says. What is no number counts as 0, which is the safe side. */
static int64_t idle_time_ms(void)
{
    const char *seconds = getenv("SENDPOST_IDLE_SECONDS");
    long number = seconds != NULL ? strtol(seconds, NULL, 10) : IDLE_S;

    return number <= 0 ? 0 : number >= LIFE_MS / 1000 ? LIFE_MS : number * 1000;
}

/* The first request says for whom this process is good. */
static bool begin(struct deliverer *deliverer, const struct delivery_request *request,
                  struct outcome *error_r)
{
    uint64_t key;

    deliverer->idle_ms = idle_time_ms();
    bool may_stay = deliverer->idle_ms > 0 && !request->verbose && !request->dry_run &&
                    *request->config_path == '/' && idle_key("/proc/self/exe", request->config_path, &key);
    deliverer->end_of_life_ms = clock_monotonic_ms() + LIFE_MS;
    struct config *config = config_load(request->config_path, error_r);
    uid_t started_as = geteuid();
    if (config == NULL)
        return false;
    deliverer->context.config = config;
    /* as another user it is not for those who started it */
    bool owner = request->dry_run || state_dir_become_owner(config->state_dir, NULL, error_r);
    deliverer->may_stay =
        may_stay && owner && geteuid() == started_as && idle_join(IDLE_PLACES, key, &deliverer->member);
    return owner;
}

static void serve(struct deliverer *deliverer, const struct delivery_request *request)
{
    struct deliver_context *context = &deliverer->context;
    int64_t start_ms = clock_monotonic_ms();
    struct delivery_result result;
    struct outcome error;

    if (context->config == NULL && !begin(deliverer, request, &error)) {
        result = result_from_error(&error);
    } else if (*request->uuid != '\0' && !uuid_valid(request->uuid, strlen(request->uuid))) {
        outcome_local(&error, "4.3.5", "--uuid %s is no UUID", request->uuid);
        result = result_from_error(&error);
    } else {
        int64_t timeout_ms = context->config->delivery_timeout_ms;
        alarm((unsigned)(timeout_ms / 1000) + HANGING_S);
        context->deadline_ms = start_ms + timeout_ms;
        if (timeout_ms / 1000 != DELIVERY_DEADLINE_S)
            channel_send(&(struct delivery_result){.deadline_s = (int)(timeout_ms / 1000)});
        result = run(deliverer, request);
    }
    /* trouble of our own may be this process's: a new one starts afresh */
    deliverer->may_stay = deliverer->may_stay && !result.own_trouble;
    channel_stop_looking();
    channel_send(&result);
    alarm(0);
}

/* --- from one delivery to the next ---------------------------------------------------------------- */

/* Nothing of the last delivery is held on to: neither its message nor those who wait for the end of its
 * output. */
static bool release_message(void)
{
    AUTO_CLOSE int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    fflush(stderr);
    return nowhere >= 0 && dup2(nowhere, STDIN_FILENO) >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0 &&
           dup2(nowhere, STDERR_FILENO) >= 0 && dup2(nowhere, REQUEST_DESCRIPTOR) >= 0 &&
           dup2(nowhere, READER_DESCRIPTOR) >= 0;
}

static bool take(const struct idle_visit *visit)
{
    const int *gifts = visit->gifts;
    bool ok = dup2(gifts[IDLE_INPUT], STDIN_FILENO) >= 0 && dup2(gifts[IDLE_OUTPUT], STDOUT_FILENO) >= 0 &&
              dup2(gifts[IDLE_OUTPUT], STDERR_FILENO) >= 0 &&
              dup2(gifts[IDLE_READER], READER_DESCRIPTOR) >= 0 &&
              dup2(visit->channel, REQUEST_DESCRIPTOR) >= 0;

    for (size_t i = 0; i < IDLE_GIFTS; i++)
        close(gifts[i]);
    close(visit->channel);
    return ok;
}

static bool fit(void *argument)
{
    const struct deliverer *deliverer = argument;

    signal(SIGTERM, SIG_IGN);
    return config_is_current(deliverer->context.config);
}

/* Somebody waits for a connection that this process only keeps. */
static void glance(void *argument)
{
    const struct deliver_context *context = &((struct deliverer *)argument)->context;

    for (size_t i = 0; i < context->config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &context->config->tpsps[i];
        if (connections_is_held(context->leases, tpsp) && connections_wanted(context->leases, tpsp)) {
            relay_end_kept(context->relay, tpsp);
            deliver_disconnect(context, tpsp);
        }
    }
}

/* False: nobody needs this process any more. */
static bool wait_for_next(struct deliverer *deliverer)
{
    int64_t now_ms = clock_monotonic_ms(), until_ms = now_ms + deliverer->idle_ms;
    struct idle_visit visit;

    if (until_ms > deliverer->end_of_life_ms)
        until_ms = deliverer->end_of_life_ms;
    if (until_ms <= now_ms)
        return false;
    setsid(); /* Postfix ends a delivery by its process group */
    if (!release_message())
        return false;
    event_reporter_rest(deliverer->context.reporter);
    store_rest(deliverer->context.store);
    signal(SIGTERM, SIG_DFL); /* nothing is under way */
    bool holds = deliverer->context.leases != NULL && connections_any_held(deliverer->context.leases);
    const struct idle_stay stay = {until_ms, fit, holds ? glance : NULL, deliverer};
    bool found = idle_await(&deliverer->member, &stay, &visit) && take(&visit);
    signal(SIGTERM, SIG_IGN);
    return found;
}

/*
 * A process that ends does not tidy up: giving back memory, closing the store in order and taking OpenSSL's
 * tables apart costs a millisecond for each message, and buys nothing. Under a sanitizer it is done, so that
 * a real leak is seen.
 */
static void end(struct deliver_context *context)
{
#ifdef __SANITIZE_ADDRESS__
    deliver_close(context);
    config_free((struct config *)(uintptr_t)context->config);
#else
    if (context->relay != NULL)
        /* the server hears that we go, and how to resume is kept */
        relay_keep_connections(context->relay, 0);
    for (size_t i = 0; context->cluster != NULL && i < context->config->tpsp_count; i++)
        deliver_disconnect(context, &context->config->tpsps[i]); /* else the end of the process does it */
    store_close(context->store);                                 /* its turn at the checkpoint may be now */
    _exit(EX_OK);
#endif
}

int main(void)
{
    static struct deliverer deliverer = {.member = IDLE_NO_MEMBER};
    struct delivery_request request;
    char *payload = NULL;

    /* no core file, no ptrace by peers of the same user: there are passwords in here */
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGTERM, SIG_IGN); /* finishing and recording what was begun is the safe way to end */
    sigpipe_ignore();
    setvbuf(stderr, NULL, _IOLBF, 0);
    if (!channel_receive(&request, &payload)) {
        fputs("sendpost-deliver is started by sendpost-pipe, not by hand\n", stderr);
        return EX_USAGE;
    }
    log_open("pipe", false);
    do {
        serve(&deliverer, &request);
        free(payload);
        payload = NULL;
    } while (deliverer.may_stay && wait_for_next(&deliverer) && channel_receive(&request, &payload));
    free(payload);
    idle_part(&deliverer.member);
    end(&deliverer.context);
    return EX_OK;
}
