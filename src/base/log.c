#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048

static const char *log_program = "unknown";
static bool log_verbose;
static int log_file = -1;

void log_open(const char *program, bool verbose)
{
    static char tag[64];
    const char *path = getenv("SENDPOST_LOG_FILE");

    log_program = program;
    log_verbose = verbose;
    if (path != NULL && *path != '\0')
        log_file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    snprintf(tag, sizeof tag, "postfix-sendpost/%s", program);
    openlog(tag, LOG_PID | LOG_NDELAY, LOG_MAIL);
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
        syslog(LOG_MAIL | LOG_WARNING, "%s", text); /* the file cannot be written: syslog may still listen */
}

void log_line(int priority, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;

    if (priority == LOG_DEBUG && !log_verbose)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    if (log_file >= 0)
        append_to_file(text);
    else
        syslog(LOG_MAIL | priority, "%s", text);
    if (log_verbose)
        fprintf(stderr, "%s\n", text);
}
