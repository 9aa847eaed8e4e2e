#include "relay/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "relay/verdict.h"

#define QUIT_PATIENCE_MS 3000
#define END_PATIENCE_MS 1000
#define RSET_PATIENCE_MS 5000 /* a server that hesitates so long is asked over a new connection */
#define SERVED_MAX 100        /* many servers end a session after so many messages, or sooner */

void wire_init(struct wire *wire, const struct relay_request *request, struct tls_contexts *tls,
               struct dns_resolver *resolver, struct verdict_rules *rules)
{
    memset(wire, 0, sizeof *wire);
    wire->request = request;
    wire->tpsp = request->tpsp;
    wire->tls = tls;
    wire->resolver = resolver;
    wire->rules = rules;
    wire->stage = RELAY_RESOLVE;
    snprintf(wire->host, sizeof wire->host, "%s", request->tpsp->host);
    size_t length = strlen(wire->host);
    if (length > 1 && wire->host[length - 1] == '.')
        wire->host[length - 1] = '\0';
    wire->tls_peer = (struct tls_peer){.host = wire->host,
                                       .port = request->tpsp->port,
                                       .mode = request->tpsp->security == SECURITY_TLS ? "tls" : "starttls",
                                       .settings = &request->tpsp->tls};
    transport_init(&wire->transport);
    reply_start(&wire->parser);
    outcome_local(&wire->outcome, "4.3.0", "the delivery was not attempted");
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t wire_deadline(const struct wire *wire)
{
    int64_t deadline = clock_monotonic_ms() + wire->tpsp->command_timeout_ms;
    return deadline < wire->request->deadline_ms ? deadline : wire->request->deadline_ms;
}

void wire_stage_begin(struct wire *wire, enum relay_stage stage)
{
    wire->stage = stage;
    wire->stage_started_us = now_us();
    wire->stage_deadline_ms = wire_deadline(wire);
}

static void observe(struct wire *wire, bool ok, int smtp_code, const char *detail)
{
    struct relay_step step = {.stage = wire->stage,
                              .ok = ok,
                              .duration_us = now_us() - wire->stage_started_us,
                              .smtp_code = smtp_code,
                              .detail = detail};

    if (wire->request->observe != NULL)
        wire->request->observe(wire->request->observe_context, &step);
}

void wire_stage_done(struct wire *wire, int smtp_code, const char *detail)
{
    observe(wire, true, smtp_code, detail);
}

bool wire_stage_failed(struct wire *wire)
{
    observe(wire, false, wire->outcome.smtp_code, wire->outcome.text);
    return false;
}

bool wire_refused(struct wire *wire)
{
    struct verdict_facts facts = {.request = wire->request,
                                  .stage = wire->stage,
                                  .content = wire->content_begun,
                                  .logged_in = wire->mechanism != NULL,
                                  .peer = wire->peer};

    verdict_reply(&wire->outcome, wire->rules, &facts, &wire->parser.reply, &wire->said);
    return wire_stage_failed(wire);
}

void wire_trace(const struct wire *wire, char who, const char *text, size_t length)
{
    if (wire->request->trace == NULL)
        return;
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    fprintf(wire->request->trace, "%c: ", who);
    for (size_t i = 0; i < length; i++)
        fputc((unsigned char)text[i] < ' ' || text[i] == 127 ? '?' : text[i], wire->request->trace);
    fputc('\n', wire->request->trace);
}

/* --- one command, one reply -------------------------------------------------------------------- */

/* A reply may come in many pieces, and behind it may be what we did not ask for: that stays in the buffer. */
bool wire_read_reply(struct wire *wire, enum transport_status *status_r, enum reply_progress *progress_r)
{
    struct transport *transport = &wire->transport;

    *status_r = TRANSPORT_OK;
    *progress_r = REPLY_MORE;
    for (;;) {
        size_t used = 0;
        if (transport->in_start < transport->in_end)
            *progress_r = reply_feed(&wire->parser, transport->in + transport->in_start,
                                     transport->in_end - transport->in_start, &used);
        transport->in_start += used;
        if (*progress_r != REPLY_MORE)
            break;
        *status_r = transport_fill(transport, wire->stage_deadline_ms);
        if (*status_r != TRANSPORT_OK)
            return false;
    }
    if (*progress_r == REPLY_COMPLETE && wire->request->trace != NULL) {
        char head[8];
        snprintf(head, sizeof head, "%d ", wire->parser.reply.code);
        fprintf(wire->request->trace, "S: %s%s\n", head, wire->parser.reply.text);
    }
    return *progress_r == REPLY_COMPLETE;
}

static bool no_reply(struct wire *wire, enum transport_status status, enum reply_progress progress)
{
    wire->usable = false;
    if (status != TRANSPORT_OK)
        verdict_transport(&wire->outcome, wire->stage, status, wire->transport.error, wire->peer);
    else
        outcome_set(&wire->outcome, OUTCOME_DEFERRED, CAUSE_HOST, 0, "4.5.0",
                    "protocol error: %s sent %s at %s; is this an SMTP server?", wire->peer,
                    progress == REPLY_FLOOD ? "an endless reply" : "what is no SMTP reply",
                    relay_stage_name(wire->stage));
    return wire_stage_failed(wire);
}

bool wire_await_reply(struct wire *wire)
{
    enum transport_status status;
    enum reply_progress progress;

    reply_start(&wire->parser);
    wire->parser.line_seen = wire->line_seen;
    wire->parser.context = &wire->capabilities;
    return wire_read_reply(wire, &status, &progress) || no_reply(wire, status, progress);
}

/* To a command that was not sent it is no answer, whatever it says: nobody has heard of what this stage is
 * about. */
static bool unasked(struct wire *wire)
{
    const struct reply *reply = &wire->parser.reply;

    outcome_set(&wire->outcome, OUTCOME_DEFERRED, CAUSE_HOST, 0, "4.5.0",
                "protocol error: %s said \"%d %s\" before it was asked, at %s", wire->peer, reply->code,
                reply->text, relay_stage_name(wire->stage));
    return wire_stage_failed(wire);
}

bool wire_interrupted(struct wire *wire, enum transport_status write_status)
{
    struct transport *transport = &wire->transport;
    enum transport_status status = write_status;
    enum reply_progress progress = REPLY_MORE;

    wire->usable = false;
    reply_start(&wire->parser);
    wire->stage_deadline_ms = clock_monotonic_ms() + 100; /* its rest, if any, is on its way already */
    if (wire->stage_deadline_ms > wire->request->deadline_ms)
        wire->stage_deadline_ms = wire->request->deadline_ms;
    if ((transport->in_start < transport->in_end || transport_has_input(transport)) &&
        wire_read_reply(wire, &status, &progress) && wire->parser.reply.code >= 400)
        return wire->content_begun || wire->parser.reply.code == 421 ? wire_refused(wire) : unasked(wire);
    if (write_status != TRANSPORT_OK) {
        verdict_transport(&wire->outcome, wire->stage, write_status, transport->error, wire->peer);
        return wire_stage_failed(wire);
    }
    if (progress == REPLY_COMPLETE || status == TRANSPORT_OK) {
        outcome_set(&wire->outcome, OUTCOME_DEFERRED, CAUSE_HOST, 0, "4.5.0",
                    "protocol error: %s answered before it was asked, at %s", wire->peer,
                    relay_stage_name(wire->stage));
        return wire_stage_failed(wire);
    }
    return no_reply(wire, status, progress);
}

enum transport_status wire_write(struct wire *wire, const char *data, size_t length)
{
    return transport_write(&wire->transport, data, length, wire->stage_deadline_ms);
}

bool wire_command(struct wire *wire, const char *line, size_t length, const char *shown)
{
    struct transport *transport = &wire->transport;
    enum transport_status status;

    if (transport->in_start < transport->in_end)
        return wire_interrupted(wire, TRANSPORT_OK);
    wire_trace(wire, 'C', shown != NULL ? shown : line, shown != NULL ? strlen(shown) : length);
    wire->stage_deadline_ms = wire_deadline(wire);
    status = wire_write(wire, line, length);
    if (status != TRANSPORT_OK)
        return wire_interrupted(wire, status);
    return wire_await_reply(wire);
}

/* --- one delivery after the other --------------------------------------------------------------- */

bool wire_can_stay(const struct wire *wire)
{
    const struct transport *transport = &wire->transport;

    return wire->usable && wire->stage >= RELAY_MAIL && wire->stage <= RELAY_DATA &&
           wire->parser.reply.code != 421 && transport->in_start == transport->in_end &&
           wire->served < SERVED_MAX;
}

bool wire_take_reply(struct wire *wire)
{
    enum transport_status status;
    enum reply_progress progress;

    reply_start(&wire->parser);
    return wire_read_reply(wire, &status, &progress);
}

bool wire_take_reset(struct wire *wire)
{
    wire->reset_due = false;
    wire->stage_deadline_ms = clock_monotonic_ms() + RSET_PATIENCE_MS;
    return wire_take_reply(wire) && wire->parser.reply.code == 250;
}

bool wire_reset(struct wire *wire)
{
    wire_trace(wire, 'C', "RSET", 4);
    wire->stage_deadline_ms = clock_monotonic_ms() + RSET_PATIENCE_MS;
    wire->usable = wire_write(wire, "RSET\r\n", 6) == TRANSPORT_OK && wire_take_reset(wire);
    return wire->usable;
}

/* RFC 5321 section 4.1.1.5. The reply also tells whether the server is still there. */
bool wire_resume(struct wire *wire, const struct relay_request *request)
{
    wire->request = request;
    wire->served++;
    outcome_local(&wire->outcome, "4.3.0", "the delivery was not attempted");
    wire->said = (struct reply_verdict){.rule = NULL};
    wire_stage_begin(wire, RELAY_MAIL);
    wire->reset_due = true;
    wire->content_begun = false;
    wire->usable = !transport_has_input(&wire->transport); /* or it said 421, or closed */
    return wire->usable && (wire_may_run_ahead(wire, request) || wire_reset(wire));
}

void wire_rest(struct wire *wire)
{
    static const struct relay_request nobody;

    wire->request = &nobody;
}

/* --- the end ----------------------------------------------------------------------------------- */

/* Does not touch stage and outcome: how the delivery ended is known. */
static void quit(struct wire *wire)
{
    enum relay_stage ended_at = wire->stage;
    enum transport_status status;
    enum reply_progress progress;

    wire_stage_begin(wire, RELAY_QUIT);
    wire->stage_deadline_ms = clock_monotonic_ms() + QUIT_PATIENCE_MS;
    wire_trace(wire, 'C', "QUIT", 4);
    status = wire_write(wire, "QUIT\r\n", 6);
    /* Nobody waits for the answer in a delivery: all that could be learnt is known. */
    if (wire->request->observe != NULL && status == TRANSPORT_OK) {
        reply_start(&wire->parser);
        if (wire_read_reply(wire, &status, &progress))
            observe(wire, wire->parser.reply.code == 221, wire->parser.reply.code, wire->parser.reply.text);
        else
            observe(wire, false, 0, "no answer to QUIT");
    }
    wire->stage = ended_at;
}

void wire_await_end(const struct wire *wire)
{
    struct pollfd end = {.fd = wire->transport.descriptor, .events = POLLRDHUP};
    int64_t until_ms = clock_monotonic_ms() + END_PATIENCE_MS, left_ms;

    while ((left_ms = until_ms - clock_monotonic_ms()) > 0 && poll(&end, 1, (int)left_ms) < 0 &&
           errno == EINTR)
        ;
}

void wire_close(struct wire *wire)
{
    if (wire->transport.descriptor >= 0 && wire->usable) {
        quit(wire);
        if (wire->tpsp->max_connections > 0)
            wire_await_end(wire);
    }
    if (wire->transport.ssl != NULL)
        tls_keep_session(wire->tls, wire->transport.ssl, &wire->tls_peer);
    transport_close(&wire->transport);
    wire->usable = false;
}
