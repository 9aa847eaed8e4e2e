#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048

static const char *log_program = "unknown";
static bool log_verbose;
static int log_file = -1;
static bool log_is_open;

/* --- syslog ---------------------------------------------------------------------------------------- */

/*
 * Not syslog(3), because that of musl, with which the supervisor is linked, writes universal time into the
 * line, which some syslog daemons believe. A datagram for each line, as Postfix sends it; a daemon that was
 * started anew is connected to again.
 */
static int syslog_socket = -1;
static bool syslog_stream; /* an old syslog-ng listens so; each line then ends with NUL */

/* Of a supervisor, whose deadline is worth more than a line: a syslog daemon that does not take one within a
 * second is not waited for until it has taken another. */
static bool log_hurries, syslog_hangs;

static int open_socket(int type)
{
    const struct timeval second = {.tv_sec = 1};
    int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    if (made >= 0 && log_hurries)
        setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
    return made;
}

static bool connect_syslog(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};

    if (connect(syslog_socket, (const struct sockaddr *)&address, sizeof address) == 0)
        return true;
    if (errno != EPROTOTYPE)
        return false;
    int stream = open_socket(SOCK_STREAM);
    syslog_stream = stream >= 0 && dup3(stream, syslog_socket, O_CLOEXEC) >= 0;
    if (stream >= 0)
        close(stream);
    return syslog_stream && connect(syslog_socket, (const struct sockaddr *)&address, sizeof address) == 0;
}

static bool send_line(const char *line, size_t bytes)
{
    bool sent = send(syslog_socket, line, bytes, MSG_NOSIGNAL | (syslog_hangs ? MSG_DONTWAIT : 0)) >= 0;
    syslog_hangs = log_hurries && !sent && (errno == EAGAIN || errno == EWOULDBLOCK);
    return sent;
}

static void send_to_syslog(int priority, const char *text)
{
    char line[LINE_SIZE + 256], stamp[32];
    time_t now = time(NULL);
    struct tm local;

    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
    int length = snprintf(line, sizeof line, "<%d>%s postfix-sendpost/%s[%ld]: %s", LOG_MAIL | priority,
                          stamp, log_program, (long)getpid(), text);
    size_t bytes = (size_t)length + (syslog_stream ? 1 : 0);
    if (syslog_socket >= 0 && !send_line(line, bytes) && !syslog_hangs && connect_syslog())
        send_line(line, bytes);
}

void log_open(const char *program, bool verbose)
{
    const char *path = getenv("SENDPOST_LOG_FILE");

    log_program = program;
    log_verbose = verbose;
    log_is_open = true;
    if (path != NULL && *path != '\0')
        log_file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (syslog_socket < 0)
        syslog_socket = open_socket(SOCK_DGRAM);
    tzset(); /* localtime_r() need not */
    if (log_file < 0 && syslog_socket >= 0)
        connect_syslog();
}

void log_open_later(const char *program)
{
    log_program = program;
    log_hurries = true;
}

static void append_to_file(const char *text)
{
    char line[LINE_SIZE + 256], stamp[32], host[65] = "localhost";
    time_t now = time(NULL);
    struct tm local;
    int length;

    gethostname(host, sizeof host - 1);
    localtime_r(&now, &local);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
    length = snprintf(line, sizeof line, "%s %s postfix-sendpost/%s[%ld]: %s\n", stamp, host, log_program,
                      (long)getpid(), text);
    if (length > 0 && (size_t)length < sizeof line && write(log_file, line, (size_t)length) < 0)
        send_to_syslog(LOG_WARNING, text); /* the file cannot be written: syslog may still listen */
}

void log_line(int priority, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    if (priority == LOG_DEBUG && !log_verbose)
        return;
    if (!log_is_open)
        log_open(log_program, log_verbose);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    if (log_file >= 0)
        append_to_file(text);
    else
        send_to_syslog(priority, text);
    if (log_verbose)
        fprintf(stderr, "%s\n", text);
}
