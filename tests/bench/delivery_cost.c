/*
 * delivery_cost: the same delivery so many times in one process, as sendpost-deliver makes one after the
 * other; tests/bench/cost counts what it takes. As if an agent ran: without one a delivery of so many sweeps
 * old events, by chance, and the count would differ from run to run.
 *
 *     delivery_cost CONFIG COUNT MESSAGE-FILE
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "delivery/deliver.h"
#include "event/event_watch.h"
#include "net/sigpipe.h"

#define KEEP_MS 60000

static void deliver_one(struct deliver_context *context, const char *path, long number)
{
    char queue_id[32], recipient[64];
    struct outcome error;
    int input = open(path, O_RDONLY | O_CLOEXEC);

    snprintf(queue_id, sizeof queue_id, "4cost%ld", number);
    snprintf(recipient, sizeof recipient, "user%ld@example.com", number);
    struct delivery_request request = {.config_path = context->config->path,
                                       .sender = "sender@example.org",
                                       .recipient = recipient,
                                       .pool = "default",
                                       .queue_id = queue_id,
                                       .uuid = "",
                                       .size = ""};
    struct message *message =
        message_read(input, context->config->state_dir, context->config->validation.max_message_size, &error);
    if (message == NULL)
        errx(EXIT_FAILURE, "%s", error.text);
    if (!deliver_open(context, &error))
        errx(EXIT_FAILURE, "%s", error.text);
    context->deadline_ms = clock_monotonic_ms() + context->config->delivery_timeout_ms;
    relay_keep_connections(context->relay, KEEP_MS);
    struct delivery_result result = deliver(context, &request, message);
    if (result.status != 0)
        errx(EXIT_FAILURE, "%s", result.text);
    message_free(message);
    event_reporter_rest(context->reporter);
    store_rest(context->store); /* as a deliverer does that waits for the next */
    close(input);
}

static bool always(void)
{
    return true;
}

int main(int argc, char **argv)
{
    struct deliver_context context = {.awaited = always};
    struct outcome error;

    if (argc != 4)
        errx(EXIT_FAILURE, "usage: delivery_cost CONFIG COUNT MESSAGE-FILE");
    sigpipe_ignore(); /* as sendpost-deliver does */
    log_open("pipe", false);
    context.config = config_load(argv[1], &error);
    if (context.config == NULL)
        errx(EXIT_FAILURE, "%s", error.text);
    int watch = event_watch_begin(context.config->state_dir, &error);
    if (watch < 0)
        errx(EXIT_FAILURE, "%s", error.text);
    for (long number = 0; number < strtol(argv[2], NULL, 10); number++) {
        event_watch_succeeded(watch);
        deliver_one(&context, argv[3], number);
    }
    deliver_close(&context);
    mark_table_close(context.marks);
    return EXIT_SUCCESS;
}
