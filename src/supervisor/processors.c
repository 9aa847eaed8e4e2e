#include "supervisor/processors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EACH_MOST 1

/* "0.20 0.18 0.12 3/80 11206": three of 80 */
static long running(const char *text)
{
    for (int field = 0; text != NULL && field < 3; field++)
        text = (text = strchr(text, ' ')) != NULL ? text + 1 : NULL;
    return text != NULL ? strtol(text, NULL, 10) : 0;
}

bool processors_are_taken_by(const char *loadavg, long processors)
{
    return processors > 0 && running(loadavg) > EACH_MOST * processors;
}

bool processors_are_taken(void)
{
    char text[128];
    int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, text, sizeof text - 1) : -1;

    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    return processors_are_taken_by(text, sysconf(_SC_NPROCESSORS_ONLN));
}
