/*
 * sendpost-deliver: one delivery in a process of its own, started by sendpost-pipe and by nobody else. The request comes over
 * REQUEST_DESCRIPTOR, the message on standard input; the result goes back over REQUEST_DESCRIPTOR. What is printed here, or by any
 * library, ends in the log.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/dns.h"
#include "base/log.h"
#include "base/uuid.h"
#include "base/xalloc.h"
#include "delivery/channel.h"
#include "delivery/deliver.h"

#define DRY_RUN_SPOOL "/tmp" /* a dry run leaves the state directory alone */

static void result_from_error(struct delivery_result *result_r, const struct outcome *error,
                              char text_r[STATUS_TEXT_SIZE])
{
    log_line(LOG_ERR, "%s", error->text);
    status_result(&(struct status_facts){.outcome = error}, result_r, text_r);
}

/* Everything between configuration and result. What it opens stays open: see main(). */
static void run(struct deliver_context *context, const struct delivery_request *request,
                struct delivery_result *result_r, char text_r[STATUS_TEXT_SIZE])
{
    const struct config *config = context->config;
    struct outcome error;
    struct message *message = message_read(STDIN_FILENO, request->dry_run ? DRY_RUN_SPOOL : config->state_dir,
                                           config->validation.max_message_size, &error);

    if (message == NULL) {
        result_from_error(result_r, &error, text_r);
    } else if (request->dry_run) {
        deliver_dry_run(context, request, message, stdout, result_r, text_r);
        fflush(stdout);
    } else if (!store_open(&context->store, config->state_dir, &error) ||
               !rate_table_open(&context->rates, config->state_dir, &rate_clock_system, &error)) {
        result_from_error(result_r, &error, text_r);
    } else {
        context->trace = request->verbose ? stderr : NULL;
        context->resolver = dns_open((const char *const *)config->dns.servers.items,
                                     config->dns.servers.count, (int)config->dns.timeout_ms);
        context->relay = relay_open(config->state_dir, context->resolver);
        context->reporter = event_reporter_open(config, context->store);
        event_reporter_trace(context->reporter, context->trace);
        deliver(context, request, message, result_r, text_r);
    }
    message_free(message);
}

/*
 * A process that ends does not tidy up: giving back memory, closing the store in order and taking OpenSSL's tables apart costs a
 * millisecond for each message, and buys nothing. Under a sanitizer it is done, so that a real leak is seen.
 */
static void end(struct deliver_context *context)
{
#ifdef __SANITIZE_ADDRESS__
    event_reporter_close(context->reporter);
    relay_close(context->relay);
    dns_close(context->resolver);
    rate_table_close(context->rates);
    store_close(context->store);
    config_free((struct config *)(uintptr_t)context->config);
#else
    store_close(context->store); /* its turn at the checkpoint may be now */
    _exit(EX_OK);
#endif
}

int main(void)
{
    static char text[STATUS_TEXT_SIZE];
    struct deliver_context context = {0};
    struct delivery_request request;
    struct delivery_result result;
    struct outcome error;
    AUTO_FREE char *payload = NULL;
    int64_t start_ms = clock_monotonic_ms();

    prctl(PR_SET_DUMPABLE,
          0); /* no core file, no ptrace by peers of the same user: there are passwords in here */
    signal(SIGTERM, SIG_IGN); /* finishing and recording what was begun is the safe way to end */
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stderr, NULL, _IOLBF, 0);
    if (!channel_receive(&request, &payload)) {
        fputs("sendpost-deliver is started by sendpost-pipe, not by hand\n", stderr);
        return EX_USAGE;
    }
    log_open("pipe", false);
    context.config = config_load(request.config_path, &error);
    if (context.config == NULL) {
        result_from_error(&result, &error, text);
    } else if (*request.uuid != '\0' && !uuid_valid(request.uuid, strlen(request.uuid))) {
        outcome_local(&error, "4.3.5", "--uuid %s is no UUID", request.uuid);
        result_from_error(&result, &error, text);
    } else {
        int64_t timeout_ms = context.config->delivery_timeout_ms;
        context.deadline_ms = start_ms + timeout_ms;
        channel_send(&(struct delivery_result){.deadline_s = (int)(timeout_ms / 1000)});
        run(&context, &request, &result, text);
    }
    channel_send(&result);
    end(&context);
    return EX_OK;
}
