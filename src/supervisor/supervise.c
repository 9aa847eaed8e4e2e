#include "supervisor/supervise.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/child.h"

#define GRACE_MS 5000         /* the child ends itself at its deadline; this much later it is ended */
#define OUTPUT_LINES_MAX 1000 /* of the child, into the log */

struct child {
    const struct supervision *supervision;
    struct child_process process; /* output is -1 when it closed it */
    int64_t start_ms, deadline_ms;

    char frame[4 + REQUEST_FRAME_MAX]; /* result frame as far as it is read */
    size_t frame_length;
    char line[1024]; /* output line as far as it is read */
    size_t line_length;
    char last_line[256]; /* says why the child died, as a rule */
    unsigned lines;
};

static void result_defer(struct delivery_result *result_r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void result_defer(struct delivery_result *result_r, const char *format, ...)
{
    va_list arguments;

    *result_r = (struct delivery_result){.status = 75};
    memcpy(result_r->text, "4.3.0 ", 6);
    va_start(arguments, format);
    vsnprintf(result_r->text + 6, sizeof result_r->text - 6, format, arguments);
    va_end(arguments);
}

/* --- what the child prints ------------------------------------------------------------------------ */

static void output_line(struct child *child)
{
    child->line[child->line_length] = '\0';
    if (child->line_length > 0 && ++child->lines <= OUTPUT_LINES_MAX) {
        snprintf(child->last_line, sizeof child->last_line, "%.*s", (int)sizeof child->last_line - 1,
                 child->line);
        if (child->supervision->output_to_person)
            fprintf(stderr, "%s\n", child->line);
        else
            log_line(LOG_INFO, "%s: %s", child->supervision->program, child->line);
    }
    child->line_length = 0;
}

static void read_output(struct child *child)
{
    char bytes[4096];
    ssize_t got = read(child->process.output, bytes, sizeof bytes);

    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
        close(child->process.output);
        child->process.output = -1;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (bytes[i] == '\n' || child->line_length == sizeof child->line - 1)
            output_line(child);
        if (bytes[i] != '\n' && bytes[i] != '\r')
            child->line[child->line_length++] = bytes[i];
    }
}

/* What is in the pipe by now; bounded, the writer may live. */
static void drain_output(struct child *child)
{
    struct pollfd ready = {.fd = child->process.output, .events = POLLIN};

    for (int i = 0; i < 64 && child->process.output >= 0 && poll(&ready, 1, 0) > 0; i++)
        read_output(child);
    output_line(child);
}

/* --- what the child answers ------------------------------------------------------------------------ */

enum answer { ANSWER_NOT_YET, ANSWER_RESULT, ANSWER_NONSENSE, ANSWER_NEVER };

/* Take the next complete frame: a deadline is followed, a result ends it. */
static enum answer take_frame(struct child *child, struct delivery_result *result_r)
{
    const unsigned char *length = (const unsigned char *)child->frame;

    if (child->frame_length < 4)
        return ANSWER_NOT_YET;
    size_t payload = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];
    if (payload > REQUEST_FRAME_MAX)
        return ANSWER_NONSENSE;
    if (child->frame_length - 4 < payload)
        return ANSWER_NOT_YET;
    if (!result_decode(child->frame + 4, payload, result_r))
        return ANSWER_NONSENSE;
    if (result_r->deadline_s == 0)
        return result_valid(result_r) ? ANSWER_RESULT : ANSWER_NONSENSE;
    child->deadline_ms = child->start_ms + (int64_t)result_r->deadline_s * 1000 + GRACE_MS;
    child->frame_length -= 4 + payload;
    memmove(child->frame, child->frame + 4 + payload, child->frame_length);
    return take_frame(child, result_r);
}

static enum answer read_answer(struct child *child, struct delivery_result *result_r)
{
    ssize_t got = recv(child->process.channel, child->frame + child->frame_length,
                       sizeof child->frame - child->frame_length, MSG_DONTWAIT);

    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return ANSWER_NOT_YET;
    if (got <= 0)
        return ANSWER_NEVER;
    child->frame_length += (size_t)got;
    return take_frame(child, result_r);
}

/* --- how it can end without a result ---------------------------------------------------------------- */

static void end_child(struct child *child)
{
    if (child->process.adopted) {
        syscall(SYS_pidfd_send_signal, child->process.process, SIGKILL, NULL, 0);
    } else {
        kill(child->process.pid, SIGKILL); /* our own child: its number is its own until we wait for it */
        waitpid(child->process.pid, NULL, 0);
    }
    drain_output(child);
}

/* Its exit status, once it has one; false when it goes on living, or is not ours to wait for. */
static bool reap(const struct child *child, int *status_r)
{
    int64_t patience_ms = clock_monotonic_ms() + 2000;
    pid_t reaped = 0;

    while (!child->process.adopted && reaped == 0 && clock_monotonic_ms() < patience_ms) {
        reaped = waitpid(child->process.pid, status_r, WNOHANG);
        if (reaped == 0)
            poll(NULL, 0, 1);
    }
    return reaped > 0;
}

/* The channel is closed without a result: the child died, or is about to. */
static void describe_death(struct child *child, struct delivery_result *result_r)
{
    const char *program = child->supervision->program;
    int status = 0;

    if (!reap(child, &status)) {
        end_child(child);
        result_defer(result_r, "%s closed its channel without a result and was ended", program);
        return;
    }
    drain_output(child);
    const char *said = child->last_line[0] != '\0' ? child->last_line : "it printed nothing";
    if (WIFSIGNALED(status))
        result_defer(result_r, "%s died with signal %d (%s): %s", program, WTERMSIG(status),
                     strsignal(WTERMSIG(status)), said);
    else if (WEXITSTATUS(status) == 127)
        result_defer(result_r, "%s cannot be started; install the library it misses, or the package anew: %s",
                     program, said);
    else
        result_defer(result_r, "%s ended with status %d and no result: %s", program, WEXITSTATUS(status),
                     said);
}

/* --- the loop ----------------------------------------------------------------------------------------- */

/* Wait until something happened; false when the deadline is over. */
static bool wait_for_child(const struct child *child, struct pollfd watched[2])
{
    int64_t left_ms = child->deadline_ms - clock_monotonic_ms();

    watched[0] = (struct pollfd){.fd = child->process.channel, .events = POLLIN};
    watched[1] = (struct pollfd){.fd = child->process.output, .events = POLLIN};
    if (left_ms <= 0)
        return false;
    if (poll(watched, 2, left_ms > INT_MAX ? INT_MAX : (int)left_ms) < 0)
        watched[0].revents = watched[1].revents = 0;
    return true;
}

static void watch_child(struct child *child, struct delivery_result *result_r)
{
    const char *program = child->supervision->program;
    enum answer answer = ANSWER_NOT_YET;
    struct pollfd watched[2];

    while (answer == ANSWER_NOT_YET) {
        if (!wait_for_child(child, watched)) {
            end_child(child);
            result_defer(result_r, "%s did not finish within its delivery-timeout and was ended", program);
            return;
        }
        if (watched[1].revents != 0)
            read_output(child);
        if (watched[0].revents != 0)
            answer = read_answer(child, result_r);
    }
    if (answer == ANSWER_RESULT) {
        drain_output(child);
    } else if (answer == ANSWER_NONSENSE) {
        end_child(child);
        result_defer(result_r, "%s gave an answer that makes no sense and was ended", program);
    } else {
        describe_death(child, result_r);
    }
}

static void prepare_process(void)
{
    struct rlimit no_core = {0, 0};

    signal(SIGPIPE, SIG_IGN); /* the child inherits this: libESMTP would die of it */
    signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would take the exit status away */
    /* With the whole message in hand, finishing and recording it is the safe way to end; and whether it is
     * whole the child sees for itself (supervisor/channel.h). */
    signal(SIGTERM, SIG_IGN);
    setrlimit(RLIMIT_CORE, &no_core); /* a core file of the child would hold passwords */
}

void supervise(const struct supervision *supervision, struct delivery_result *result_r)
{
    static struct child child; /* 70 KB: much for a stack */
    char path[4096];

    child.supervision = supervision;
    prepare_process();
    int error = child_start(&child.process, supervision, path, sizeof path);
    if (error != 0) {
        child_end(&child.process);
        result_defer(result_r, "cannot start %s: %s; install the package anew", path, strerror(error));
        return;
    }
    child.start_ms = clock_monotonic_ms(); /* as for the child: it may have been waited for */
    child.deadline_ms = child.start_ms + (int64_t)supervision->deadline_s * 1000 + GRACE_MS;
    watch_child(&child, result_r);
    child_end(&child.process);
}
