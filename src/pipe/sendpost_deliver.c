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

static void run(const struct config *config, const struct delivery_request *request, int64_t deadline_ms,
                struct delivery_result *result_r, char text_r[STATUS_TEXT_SIZE])
{
    struct deliver_context context = {.config = config, .deadline_ms = deadline_ms};
    struct outcome error;
    struct message *message = message_read(STDIN_FILENO, request->dry_run ? DRY_RUN_SPOOL : config->state_dir,
                                           config->validation.max_message_size, &error);

    if (message == NULL) {
        result_from_error(result_r, &error, text_r);
        return;
    }
    if (request->dry_run) {
        deliver_dry_run(&context, request, message, stdout, result_r, text_r);
        fflush(stdout);
    } else if (!store_open(&context.store, config->state_dir, &error) ||
               !rate_table_open(&context.rates, config->state_dir, &rate_clock_system, &error)) {
        result_from_error(result_r, &error, text_r);
        store_close(context.store);
    } else {
        context.trace = request->verbose ? stderr : NULL;
        context.resolver = dns_open((const char *const *)config->dns.servers.items, config->dns.servers.count,
                                    (int)config->dns.timeout_ms);
        context.relay = relay_open(config->state_dir, context.resolver);
        context.reporter = event_reporter_open(config, context.store);
        event_reporter_trace(context.reporter, context.trace);
        deliver(&context, request, message, result_r, text_r);
        event_reporter_close(context.reporter);
        relay_close(context.relay);
        dns_close(context.resolver);
        rate_table_close(context.rates);
        store_close(context.store);
    }
    message_free(message);
}

int main(void)
{
    static char text[STATUS_TEXT_SIZE];
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
    struct config *config = config_load(request.config_path, &error);
    if (config == NULL) {
        result_from_error(&result, &error, text);
    } else if (*request.uuid != '\0' && !uuid_valid(request.uuid, strlen(request.uuid))) {
        outcome_local(&error, "4.3.5", "--uuid %s is no UUID", request.uuid);
        result_from_error(&result, &error, text);
    } else {
        channel_send(&(struct delivery_result){.deadline_s = (int)(config->delivery_timeout_ms / 1000)});
        run(config, &request, start_ms + config->delivery_timeout_ms, &result, text);
    }
    channel_send(&result);
    config_free(config);
    return EX_OK;
}
