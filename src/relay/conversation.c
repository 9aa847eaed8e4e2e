#include "relay/conversation.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
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

#define GREETING "220 wire\r\n"
#define HELLO_SIZE 256
#define FORETOLD_MAX (96 * 1024) /* bytes of a message */
#define QUIT_MS 5000             /* how long an engine that has done its work may take to say QUIT */

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

/* An engine that cannot be answered would wait for it, and we for its next command: both see the end instead.
 */
static void tell_engine(struct conversation *conversation, const char *text)
{
    struct transport *local = &conversation->local;

    if (conversation->foretold ||
        transport_write(local, text, strlen(text), conversation->wire->request->deadline_ms) == TRANSPORT_OK)
        return;
    snprintf(conversation->tell_error, sizeof conversation->tell_error, "%s", local->error);
    shutdown(local->descriptor, SHUT_RDWR);
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
static void hello(const struct wire *wire, char reply_r[HELLO_SIZE])
{
    const struct wire_capabilities *offered = &wire->capabilities;

    snprintf(reply_r, HELLO_SIZE, "250-wire\r\n%s%s%s250 HELP\r\n", offered->size ? "250-SIZE\r\n" : "",
             offered->eight_bit_mime ? "250-8BITMIME\r\n" : "", offered->smtputf8 ? "250-SMTPUTF8\r\n" : "");
}

static enum conversation_next on_hello(struct conversation *conversation)
{
    char reply[HELLO_SIZE];

    hello(conversation->wire, reply);
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

static enum conversation_next no_command(struct conversation *conversation)
{
    if (*conversation->tell_error != '\0')
        return conversation_engine_trouble(conversation, "could not be answered: %s",
                                           conversation->tell_error);
    bool late = clock_monotonic_ms() >= conversation->wire->request->deadline_ms;
    return conversation_engine_trouble(conversation, late ? "was too slow" : "gave up before its time");
}

static enum conversation_next converse(struct conversation *conversation)
{
    enum conversation_next next = CONVERSATION_GO_ON;

    tell_engine(conversation, GREETING);
    while (next == CONVERSATION_GO_ON) {
        size_t i = 0;

        if (!next_line(conversation, conversation->wire->request->deadline_ms))
            return no_command(conversation);
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

/*
 * All that an engine is told of a reply is its code, and while that is the usual one it goes on. So where the
 * local stream has room for the whole message, an engine that can be told every reply beforehand runs to its
 * end first, in this thread, and what it has said is then taken to the server at the server's pace. Whatever
 * the server says decides as ever; the engine alone believes that all went well. Otherwise each reply would
 * cost two turns of the processor between an engine's thread and ours, fourteen a message.
 */
static bool can_foretell(const struct wire *wire, const struct engine *engine, int stream)
{
    uint64_t size = wire->request->message->size;
    /* twice for the stuffing of dots, and twice for what the kernel counts besides */
    int room = 0, wanted = (int)(4 * size + 32768);
    socklen_t length = sizeof room;

    if (!engine->takes_foretold || size > FORETOLD_MAX ||
        getsockopt(stream, SOL_SOCKET, SO_SNDBUF, &room, &length) < 0)
        return false;
    return room >= wanted ||
           (setsockopt(stream, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted) == 0 &&
            getsockopt(stream, SOL_SOCKET, SO_SNDBUF, &room, &length) == 0 && room >= wanted);
}

/* What follows the greeting: EHLO, MAIL, RCPT, DATA, the final dot, QUIT. */
static void foretell(struct conversation *conversation)
{
    char replies[HELLO_SIZE + 64], capabilities[HELLO_SIZE];

    hello(conversation->wire, capabilities);
    snprintf(replies, sizeof replies, GREETING "%s250 x\r\n250 x\r\n354 x\r\n250 x\r\n221 x\r\n",
             capabilities);
    tell_engine(conversation, replies);
    shutdown(conversation->local.descriptor, SHUT_WR); /* should it wait for more, it sees the end */
    conversation->foretold = true;
}

/* what the engine's thread is given */
struct work {
    const struct engine *engine;
    struct engine_job job;
    pthread_t thread;
};

static void *run_engine(void *argument)
{
    struct work *work = argument;

    work->engine->run(&work->job);
    return NULL;
}

/* In a thread of its own, with all signals blocked: they are for the thread that knows what to do with them.
 */
static int start_engine(struct work *work)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&work->thread, NULL, run_engine, work);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static enum conversation_next converse_beside(struct conversation *conversation, struct work *work)
{
    int error = start_engine(work);

    if (error != 0) {
        outcome_local(&conversation->wire->outcome, "4.3.0", "cannot start a thread: %s",
                      strerrordesc_np(error));
        close(work->job.stream);
        return CONVERSATION_END;
    }
    enum conversation_next next = converse(conversation);
    if (conversation->answered && conversation->wire->usable)
        answer_quit(conversation);
    transport_close(&conversation->local);
    pthread_join(work->thread, NULL);
    return next;
}

static void compare_notes(const struct wire *wire, const struct work *work)
{
    if (wire->request->trace != NULL)
        fprintf(wire->request->trace, "*: %s: %s\n", work->engine->name, work->job.says);
    if (wire->outcome.class == OUTCOME_DELIVERED && !work->job.accepted)
        log_line(LOG_WARNING, "%s accepted the message, but %s says: %s", wire->peer, work->engine->name,
                 work->job.says);
}

enum conversation_end conversation_run(struct wire *wire, const struct engine *engine)
{
    struct conversation conversation;
    struct work work = {
        .engine = engine,
        .job = {.request = wire->request,
                .eight_bit = wire->request->message->eight_bit && wire->capabilities.eight_bit_mime}};
    enum conversation_next next;
    int ends[2];

    memset(&conversation, 0, offsetof(struct conversation, line)); /* the line is long, and written first */
    conversation.wire = wire;
    conversation.engine = engine;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        outcome_local(&wire->outcome, "4.3.0", "cannot make a local stream: %s", strerrordesc_np(errno));
        return CONVERSATION_OVER;
    }
    transport_init(&conversation.local);
    conversation.local.descriptor = ends[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    work.job.stream = ends[1];
    work.job.foretold = can_foretell(wire, engine, ends[1]);
    if (work.job.foretold) {
        foretell(&conversation);
        engine->run(&work.job);
        next = converse(&conversation);
        transport_close(&conversation.local);
    } else {
        next = converse_beside(&conversation, &work);
        compare_notes(wire, &work);
    }
    if (next == CONVERSATION_END_ENGINE_FAILED) /* what the engine itself thinks is wrong */
        outcome_local(&wire->outcome, wire->outcome.enhanced, "%s (%s)", wire->outcome.text, work.job.says);
    return next == CONVERSATION_END_ENGINE_FAILED ? CONVERSATION_ENGINE_FAILED : CONVERSATION_OVER;
}
