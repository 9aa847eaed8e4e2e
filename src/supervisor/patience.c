#include "supervisor/patience.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/processors.h"

#define ROOM 8            /* one of so many parts */
#define TICK_MS 10        /* of /proc/uptime */
#define STARTED "started" /* its time is that of the last start; no name of a process: it has no dash */

/* The clock may have been set meanwhile. */
static bool is_within(int64_t passed_ms, int64_t limit_ms)
{
    return passed_ms > -limit_ms && passed_ms < limit_ms;
}

bool patience_turn(int64_t passed_ms, long processors)
{
    return !is_within(passed_ms, PATIENCE_START_MS / processors);
}

static bool has_its_turn(int place, long processors)
{
    struct stat status;

    return fstatat(place, STARTED, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
           patience_turn(clock_realtime_ms() - clock_ms(status.st_mtim), processors);
}

bool patience_room(int64_t idle_ms, int64_t passed_ms, long processors)
{
    return (idle_ms - TICK_MS) * ROOM > passed_ms * processors;
}

/* Since it was asked first. */
static bool there_was_room(struct patience *patience, int64_t now_ms, long processors)
{
    int64_t idle_ms = processors_idle_ms();

    if (patience->idle_ms >= 0)
        return patience_room(idle_ms - patience->idle_ms, now_ms - patience->since_ms, processors);
    patience->idle_ms = idle_ms;
    patience->since_ms = now_ms;
    return false;
}

bool patience_is_over(void *context, const struct idle_wait *wait)
{
    struct patience *patience = context;
    long processors = processors_number();

    if (wait->ms >= PATIENCE_MOST_MS)
        return true;
    if (!wait->asks)
        return false;
    if (patience->idle_ms < 0 && !processors_are_taken())
        return true;
    return there_was_room(patience, wait->ms, processors) && has_its_turn(patience->place, processors);
}

void patience_tell_start(int place)
{
    int file = openat(place, STARTED, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (file < 0)
        return;
    futimens(file, NULL);
    close(file);
}
