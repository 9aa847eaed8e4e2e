#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_realtime_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_ms(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

char *clock_rfc3339(int64_t realtime_ms, char buffer[CLOCK_RFC3339_SIZE])
{
    int64_t milliseconds = realtime_ms % 1000;
    time_t seconds = (time_t)(realtime_ms / 1000);
    struct tm utc;

    if (milliseconds < 0) {
        milliseconds += 1000;
        seconds--;
    }
    gmtime_r(&seconds, &utc);
    size_t length = strftime(buffer, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(buffer + length, CLOCK_RFC3339_SIZE - length, ".%03dZ", (int)milliseconds);
    return buffer;
}
