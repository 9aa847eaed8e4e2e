#include "relay/conversation.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "relay/conversation_private.h"
#include "relay/verdict.h"

#define QUIT_MS 5000 /* how long an engine that has done its work may take to say QUIT */

/* --- the engine's side ------------------------------------------------------------------------- */

enum conversation_next conversation_engine_trouble(struct conversation *conversation, const char *format, ...)
{
    struct wire *wire = conversation->wire;
    char what[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    outcome_local(&wire->outcome, "4.3.0", "the SMTP engine %s %s; nothing was delivered",
                  conversation->engine->name, what);
    (void)wire_stage_failed(wire);
    log_line(LOG_WARNING, "%s: %s", wire->peer, wire->outcome.text);
    return CONVERSATION_END_ENGINE_FAILED;
}

static void tell_engine(struct conversation *conversation, const char *text)
{
    /* a failure shows when its next command does not come */
    (void)transport_write(&conversation->local, text, strlen(text), conversation->wire->request->deadline_ms);
}

void conversation_tell_code(struct conversation *conversation, int code)
{
    char line[32];

    snprintf(line, sizeof line, "%03d x\r\n", code);
    tell_engine(conversation, line);
}

/* The engine's next command line; false when none comes. */
static bool next_line(struct conversation *conversation, int64_t deadline_ms)
{
    struct transport *local = &conversation->local;

    conversation->length = 0;
    for (;;) {
        while (local->in_start < local->in_end && conversation->length < WIRE_LINE_MAX) {
            char c = local->in[local->in_start++];
            conversation->line[conversation->length++] = c;
            if (c == '\n') {
                conversation->line[conversation->length] = '\0';
                return true;
            }
        }
        if (conversation->length == WIRE_LINE_MAX || transport_fill(local, deadline_ms) != TRANSPORT_OK)
            return false;
    }
}

/* What the engine may use. Each word left out is a trap less: STARTTLS, PIPELINING, CHUNKING, DSN, … */
static enum conversation_next on_hello(struct conversation *conversation)
{
    const struct wire *wire = conversation->wire;
    const struct wire_capabilities *offered = &wire->capabilities;
    char reply[256];

    snprintf(reply, sizeof reply, "250-wire\r\n%s%s%s250 HELP\r\n", offered->size ? "250-SIZE\r\n" : "",
             offered->eight_bit_mime ? "250-8BITMIME\r\n" : "", offered->smtputf8 ? "250-SMTPUTF8\r\n" : "");
    tell_engine(conversation, reply);
    return CONVERSATION_GO_ON;
}

/* --- the commands that go to the server -------------------------------------------------------- */

enum conversation_next conversation_refused(struct conversation *conversation)
{
    (void)wire_refused(conversation->wire);
    conversation_take_rest(conversation);
    return CONVERSATION_END;
}

/* Whether the line is this command for this address. libcurl turns a domain that is not ASCII into its ASCII
 * form. */
static bool line_is(const struct conversation *conversation, const char *command, const char *address)
{
    const char *rest = conversation->line + strlen(command);
    size_t length = strlen(address);

    if (strncasecmp(conversation->line, command, strlen(command)) != 0 || *rest++ != '<')
        return false;
    if (!address_is_ascii(address)) {
        const char *domain = address_domain(address);
        length = domain != NULL ? (size_t)(domain - address) : length;
        return strncmp(rest, address, length) == 0 && strchr(rest, '>') != NULL;
    }
    return strncmp(rest, address, length) == 0 && rest[length] == '>' &&
           (rest[length + 1] == ' ' || rest[length + 1] == '\r');
}

static enum conversation_next on_mail(struct conversation *conversation)
{
    static const char body[] = " BODY=8BITMIME";
    struct wire *wire = conversation->wire;
    char *line = conversation->line;

    wire_stage_begin(wire, RELAY_MAIL);
    if (wire->mechanism != NULL && !wire->authenticated)
        return conversation_engine_trouble(conversation, "went on before the login");
    if (!line_is(conversation, "MAIL FROM:", wire->request->sender))
        return conversation_engine_trouble(conversation, "sent another MAIL command than it was asked to");
    /* libcurl does not declare 8-bit content */
    if (wire->request->message->eight_bit && wire->capabilities.eight_bit_mime &&
        strcasestr(line, " BODY=") == NULL &&
        conversation->length + sizeof body < sizeof conversation->line) {
        size_t end = conversation->length - 2;
        conversation->length =
            end + (size_t)snprintf(line + end, sizeof conversation->line - end, "%s\r\n", body);
    }
    if (conversation_may_run_ahead(conversation)) {
        if (conversation_run_ahead(conversation) != CONVERSATION_GO_ON)
            return CONVERSATION_END;
    } else if ((wire->reset_due && !wire_reset(wire)) ||
               !wire_command(wire, line, conversation->length, NULL)) {
        return CONVERSATION_END;
    }
    if (wire->parser.reply.code / 100 != 2)
        return conversation_refused(conversation);
    conversation->mail_accepted = true;
    wire_stage_done(wire, wire->parser.reply.code, wire->parser.reply.text);
    conversation_tell_code(conversation, 250);
    return CONVERSATION_GO_ON;
}

static enum conversation_next on_rcpt(struct conversation *conversation)
{
    struct wire *wire = conversation->wire;

    wire_stage_begin(wire, RELAY_RCPT);
    if (!conversation->mail_accepted || conversation->rcpt_accepted ||
        !line_is(conversation, "RCPT TO:", wire->request->recipient))
        return conversation_engine_trouble(conversation, "sent another RCPT command than it was asked to");
    if (conversation->ahead && !conversation_rcpt_is_as_sent(conversation))
        return conversation_engine_trouble(conversation, "sent another RCPT command than was foreseen");
    if (conversation->ahead ? !wire_await_reply(wire)
                            : !wire_command(wire, conversation->line, conversation->length, NULL))
        return CONVERSATION_END;
    if (wire->parser.reply.code / 100 != 2)
        return conversation_refused(conversation);
    conversation->rcpt_accepted = true;
    wire_stage_done(wire, wire->parser.reply.code, wire->parser.reply.text);
    conversation_tell_code(conversation, 250);
    return CONVERSATION_GO_ON;
}

/* --- both together ----------------------------------------------------------------------------- */

static const struct {
    const char *verb;
    enum conversation_next (*handle)(struct conversation *conversation);
} commands[] = {
    {"EHLO ", on_hello},
    {"HELO ", on_hello},
    {"MAIL FROM:", on_mail},
    {"RCPT TO:", on_rcpt},
    {"DATA\r\n", conversation_data},
};

static enum conversation_next converse(struct conversation *conversation)
{
    enum conversation_next next = CONVERSATION_GO_ON;

    tell_engine(conversation, "220 wire\r\n");
    while (next == CONVERSATION_GO_ON) {
        size_t i = 0;

        if (!next_line(conversation, conversation->wire->request->deadline_ms)) {
            bool late = clock_monotonic_ms() >= conversation->wire->request->deadline_ms;
            return conversation_engine_trouble(conversation,
                                               late ? "was too slow" : "gave up before its time");
        }
        while (i < sizeof commands / sizeof commands[0] &&
               strncasecmp(conversation->line, commands[i].verb, strlen(commands[i].verb)) != 0)
            i++;
        if (i == sizeof commands / sizeof commands[0])
            return conversation_engine_trouble(conversation, "sent an unexpected command: %.4s",
                                               conversation->line);
        next = commands[i].handle(conversation);
    }
    return next;
}

/* The engine knows the final reply: let it end in order, and answer its QUIT ourselves. */
static void answer_quit(struct conversation *conversation)
{
    int64_t deadline_ms = clock_monotonic_ms() + QUIT_MS;

    while (next_line(conversation, deadline_ms))
        conversation_tell_code(conversation, 221);
}

/* what the engine's thread is given */
struct work {
    const struct engine *engine;
    struct engine_job job;
};

static void *run_engine(void *argument)
{
    struct work *work = argument;

    work->engine->run(&work->job);
    return NULL;
}

enum conversation_end conversation_run(struct wire *wire, const struct engine *engine)
{
    struct conversation conversation = {.wire = wire, .engine = engine};
    struct work work = {
        .engine = engine,
        .job = {.request = wire->request,
                .eight_bit = wire->request->message->eight_bit && wire->capabilities.eight_bit_mime}};
    enum conversation_next next;
    sigset_t all, before;
    pthread_t thread;
    int ends[2], error;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        outcome_local(&wire->outcome, "4.3.0", "cannot make a local stream: %s", strerrordesc_np(errno));
        return CONVERSATION_OVER;
    }
    transport_init(&conversation.local);
    conversation.local.descriptor = ends[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    work.job.stream = ends[1];

    /* signals are for the thread that knows what to do with them */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, NULL, run_engine, &work);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        outcome_local(&wire->outcome, "4.3.0", "cannot start a thread: %s", strerrordesc_np(error));
        close(ends[1]);
        transport_close(&conversation.local);
        return CONVERSATION_OVER;
    }
    next = converse(&conversation);
    if (conversation.answered && wire->usable)
        answer_quit(&conversation);
    explicit_bzero(conversation.line, sizeof conversation.line);
    transport_close(&conversation.local);
    pthread_join(thread, NULL);
    if (wire->request->trace != NULL)
        fprintf(wire->request->trace, "*: %s: %s\n", engine->name, work.job.says);
    if (wire->outcome.class == OUTCOME_DELIVERED && !work.job.accepted)
        log_line(LOG_WARNING, "%s accepted the message, but %s says: %s", wire->peer, engine->name,
                 work.job.says);
    if (next == CONVERSATION_END_ENGINE_FAILED) /* what the engine itself thinks is wrong */
        outcome_local(&wire->outcome, wire->outcome.enhanced, "%s (%s)", wire->outcome.text, work.job.says);
    return next == CONVERSATION_END_ENGINE_FAILED ? CONVERSATION_ENGINE_FAILED : CONVERSATION_OVER;
}
