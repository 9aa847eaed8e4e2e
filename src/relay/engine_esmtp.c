/*
 * libESMTP as an engine: a fresh session for each message, over a local stream. It does the
 * envelope, DATA and the dot-stuffing; all that it would do with a network is out of its reach.
 */
#include "relay/engine.h"

#include <errno.h>
#include <libesmtp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "relay/local_connect.h"

#define CHUNK 16384
/* Ours are the deadlines that count; its own must never come first (on a transfer timeout it goes on with a
 * hole). */
#define NEVER_MS (24L * 3600 * 1000)
/* Nothing has to be waited for. Were there less room than was thought, the hole would be seen, and the other
 * engine be asked. */
#define FORETOLD_MS 1000L

struct source {
    const struct relay_message *message;
    uint64_t offset;
    char buffer[CHUNK];
};

/* libESMTP's reader of the message: len NULL means rewind. */
static const char *read_message(void **context, int *length, void *argument)
{
    struct source *source = argument;
    ssize_t got;

    (void)context;
    if (length == NULL) {
        source->offset = 0;
        return NULL;
    }
    got = source->message->read_at(source->message->context, source->offset, source->buffer, CHUNK);
    /* it takes 0 for the end of the message; the conversation knows better and lets no dot through */
    *length = got > 0 ? (int)got : 0;
    source->offset += got > 0 ? (uint64_t)got : 0;
    if (got >= 0)
        errno = 0;
    return source->buffer;
}

static bool prepare(smtp_session_t session, struct source *source, struct engine_job *job,
                    smtp_message_t *message_r, smtp_recipient_t *recipient_r)
{
    static const int timeouts[] = {Timeout_GREETING, Timeout_ENVELOPE, Timeout_DATA, Timeout_TRANSFER,
                                   Timeout_DATA2};
    const struct relay_request *request = job->request;

    /* an address literal: nothing is resolved; connect() gives it the local stream */
    if (!smtp_set_server(session, "127.0.0.1:25") || !smtp_set_hostname(session, "wire"))
        return false;
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++)
        smtp_set_timeout(session, timeouts[i] | Timeout_OVERRIDE_RFC2822_MINIMUM,
                         job->foretold ? FORETOLD_MS : NEVER_MS);
    *message_r = smtp_add_message(session);
    if (*message_r == NULL ||
        !smtp_set_reverse_path(*message_r, *request->sender != '\0' ? request->sender : NULL))
        return false;
    *recipient_r = smtp_add_recipient(*message_r, request->recipient);
    if (*recipient_r == NULL || !smtp_set_messagecb(*message_r, read_message, source))
        return false;
    smtp_size_set_estimate(*message_r, (unsigned long)request->message->size);
    if (job->eight_bit)
        smtp_8bitmime_set_body(*message_r, E8bitmime_8BITMIME);
    return true;
}

static void judge_session(struct engine_job *job, smtp_message_t message, smtp_recipient_t recipient)
{
    const smtp_status_t *sent = smtp_message_transfer_status(message);
    const smtp_status_t *taken = smtp_recipient_status(recipient);

    job->accepted =
        sent->code / 100 == 2 && taken->code / 100 == 2 && smtp_recipient_check_complete(recipient);
    snprintf(job->says, sizeof job->says, "RCPT %d, message %d, %s", taken->code, sent->code,
             job->accepted ? "complete" : "not complete");
}

static void run(struct engine_job *job)
{
    AUTO_FREE struct source *source = xmalloc(sizeof *source);
    smtp_session_t session = smtp_create_session();
    smtp_message_t message;
    smtp_recipient_t recipient;

    source->message = job->request->message;
    source->offset = 0;
    local_connect_begin(job->stream);
    if (session != NULL && prepare(session, source, job, &message, &recipient)) {
        smtp_start_session(session);
        judge_session(job, message, recipient);
    } else {
        snprintf(job->says, sizeof job->says, "libESMTP cannot set up a session");
    }
    local_connect_end();
    if (session != NULL)
        smtp_destroy_session(session);
    close(job->stream);
}

const struct engine engine_esmtp = {.name = "libesmtp", .serves = 0, .takes_foretold = true, .run = run};
