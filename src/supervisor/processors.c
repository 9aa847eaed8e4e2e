#include "supervisor/processors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EACH_MOST 1
#define TEXT_SIZE 128

static void read_file(const char *path, char text_r[TEXT_SIZE])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, text_r, TEXT_SIZE - 1) : -1;

    if (file >= 0)
        close(file);
    text_r[got > 0 ? got : 0] = '\0';
}

long processors_number(void)
{
    long number = sysconf(_SC_NPROCESSORS_ONLN);

    return number > 1 ? number : 1;
}

/* "0.20 0.18 0.12 3/80 11206": three of 80 */
static long running(const char *text)
{
    for (int field = 0; text != NULL && field < 3; field++)
        text = (text = strchr(text, ' ')) != NULL ? text + 1 : NULL;
    return text != NULL ? strtol(text, NULL, 10) : 0;
}

bool processors_are_taken_by(const char *loadavg, long processors)
{
    return running(loadavg) > EACH_MOST * processors;
}

bool processors_are_taken(void)
{
    char text[TEXT_SIZE];

    read_file("/proc/loadavg", text);
    return processors_are_taken_by(text, processors_number());
}

/* "76794.07 35147.52": seconds since the start, and idle ones */
int64_t processors_idle_ms_of(const char *uptime)
{
    const char *idle = strchr(uptime, ' ');
    char *end;
    double seconds = idle != NULL ? strtod(idle, &end) : -1;

    return idle == NULL || end == idle || !(seconds >= 0 && seconds < 1e15) ? -1 : (int64_t)(seconds * 1000);
}

int64_t processors_idle_ms(void)
{
    char text[TEXT_SIZE];

    read_file("/proc/uptime", text);
    return processors_idle_ms_of(text);
}
