/*
 * step_clock: for LD_PRELOAD: the wall clock of a server, moved by what the file CLOCK_OFFSET_FILE says
 * (seconds, as text). gettimeofday() alone is moved, by which Valkey and Redis tell the time; the tests
 * compile this when they need it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static const char *path;
    struct timespec real;
    char text[24] = "0";

    (void)zone;
    if (path == NULL)
        path = getenv("CLOCK_OFFSET_FILE");
    int descriptor = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor >= 0) {
        ssize_t got = read(descriptor, text, sizeof text - 1);
        text[got > 0 ? got : 0] = '\0';
        close(descriptor);
    }
    clock_gettime(CLOCK_REALTIME, &real);
    now->tv_sec = real.tv_sec + atol(text);
    now->tv_usec = real.tv_nsec / 1000;
    return 0;
}
