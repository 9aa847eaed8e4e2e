#include "ctl/people.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

bool people_look(void)
{
    const char *wanted = getenv("SENDPOSTCTL_PEOPLE");

    return wanted != NULL ? strcmp(wanted, "1") == 0 : isatty(STDOUT_FILENO);
}

char *people_time(int64_t realtime_ms, char buffer[PEOPLE_TIME_SIZE])
{
    time_t seconds = (time_t)(realtime_ms / 1000), now = (time_t)(clock_realtime_ms() / 1000);
    struct tm local, today;

    buffer[0] = '\0';
    if (realtime_ms == 0 || localtime_r(&seconds, &local) == NULL || localtime_r(&now, &today) == NULL)
        return buffer;
    strftime(buffer, PEOPLE_TIME_SIZE,
             local.tm_year != today.tm_year   ? "%Y-%m-%d %H:%M"
             : local.tm_yday != today.tm_yday ? "%b %e %H:%M:%S"
                                              : "%H:%M:%S",
             &local);
    return buffer;
}

char *people_time_of(const char *rfc3339, char buffer[PEOPLE_TIME_SIZE])
{
    struct tm utc = {.tm_year = 0};
    const char *rest = strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &utc);

    buffer[0] = '\0';
    return rest == NULL ? buffer : people_time((int64_t)timegm(&utc) * 1000, buffer);
}

_Static_assert(PEOPLE_TIME_SIZE >= CLOCK_RFC3339_SIZE, "one of both is printed");

char *people_when(int64_t realtime_ms, char buffer[PEOPLE_TIME_SIZE])
{
    if (realtime_ms == 0)
        snprintf(buffer, PEOPLE_TIME_SIZE, "never");
    else if (people_look())
        people_time(realtime_ms, buffer);
    else
        clock_rfc3339(realtime_ms, buffer);
    return buffer;
}

char *people_when_of(const char *rfc3339, char buffer[PEOPLE_TIME_SIZE])
{
    if (people_look())
        return people_time_of(rfc3339, buffer);
    snprintf(buffer, PEOPLE_TIME_SIZE, "%s", *rfc3339 != '\0' ? rfc3339 : "never");
    return buffer;
}

char *people_span(int64_t ms, char buffer[PEOPLE_SPAN_SIZE])
{
    int64_t seconds = ms < 0 ? 0 : (ms + 999) / 1000;

    if (seconds < 120)
        snprintf(buffer, PEOPLE_SPAN_SIZE, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        snprintf(buffer, PEOPLE_SPAN_SIZE, "%" PRId64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(buffer, PEOPLE_SPAN_SIZE, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(buffer, PEOPLE_SPAN_SIZE, "%" PRId64 " d", seconds / 86400);
    return buffer;
}

char *people_uuid(const char *uuid, char buffer[UUID_SIZE])
{
    snprintf(buffer, UUID_SIZE, "%.8s", uuid);
    return buffer;
}

enum ctl_colour people_colour(const char *word)
{
    static const struct {
        const char *word;
        enum ctl_colour colour;
    } words[] = {
        {"delivered", CTL_GREEN},     {"sent", CTL_GREEN},     {"reported", CTL_GREEN},
        {"deferred", CTL_YELLOW},     {"waiting", CTL_YELLOW}, {"queued", CTL_YELLOW},
        {"pending", CTL_YELLOW},      {"held", CTL_RED},       {"dropped", CTL_RED},
        {"bounced", CTL_RED},         {"rejected", CTL_RED},   {"expired", CTL_RED},
        {"soft_bounced", CTL_YELLOW}, {"suppressed", CTL_RED}, {"gone", CTL_RED},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].word, word) == 0)
            return words[i].colour;
    return CTL_PLAIN;
}

bool people_number(const char *text, size_t least, size_t most, size_t *number_r)
{
    char *end;

    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || number < least || number > most)
        return false;
    *number_r = number;
    return true;
}

int64_t people_duration_ms(const char *text)
{
    static const struct {
        const char *unit;
        int64_t milliseconds;
    } units[] = {{"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;

    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || number < 0)
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0 && number < INT64_MAX / 2 / units[i].milliseconds)
            return number * units[i].milliseconds;
    return -1;
}

static int64_t next_time_of_day(const struct tm *clock, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm local;

    if (localtime_r(&now, &local) == NULL)
        return -1;
    local.tm_hour = clock->tm_hour;
    local.tm_min = clock->tm_min;
    local.tm_sec = 0;
    local.tm_isdst = -1;
    time_t moment = mktime(&local);
    if (moment == (time_t)-1 || (int64_t)moment * 1000 > now_ms)
        return moment == (time_t)-1 ? -1 : (int64_t)moment * 1000;
    local.tm_mday++;
    local.tm_hour = clock->tm_hour; /* mktime() may have moved it over a change of the clocks */
    local.tm_min = clock->tm_min;
    local.tm_isdst = -1;
    moment = mktime(&local);
    return moment == (time_t)-1 ? -1 : (int64_t)moment * 1000;
}

int64_t people_moment_ms(const char *text, int64_t now_ms)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S",
                                        "%Y-%m-%dT%H:%M:%S"};
    struct tm clock = {.tm_year = 0};
    const char *rest = strptime(text, "%H:%M", &clock);

    if (rest != NULL && *rest == '\0')
        return next_time_of_day(&clock, now_ms);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm date = {.tm_isdst = -1};
        rest = strptime(text, forms[i], &date);
        if (rest == NULL || (*rest != '\0' && strcmp(rest, "Z") != 0))
            continue;
        time_t moment = *rest == 'Z' ? timegm(&date) : mktime(&date);
        return moment == (time_t)-1 ? -1 : (int64_t)moment * 1000;
    }
    return -1;
}
