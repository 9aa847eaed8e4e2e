/* The deliverer's side of the meeting place. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/idle_private.h"

#define LOOKED_AT 16 /* of each of so many, and of every so many, it is seen whether it lives */

static struct idle_names names; /* as of the last look: too large for a stack */

unsigned idle_most(uint64_t memory)
{
    uint64_t number = memory / 8 / IDLE_MEMORY;

    return number < IDLE_FEWEST ? IDLE_FEWEST : number > IDLE_MOST ? IDLE_MOST : (unsigned)number;
}

static unsigned most_here(void)
{
    struct sysinfo machine;

    return sysinfo(&machine) == 0 ? idle_most((uint64_t)machine.totalram * machine.mem_unit) : IDLE_FEWEST;
}

static bool is_of_an_idle_one(const char *name)
{
    return strpbrk(name, "?!") == NULL;
}

/* How many others are idle. What one that died left behind is removed: of each of a few, of every so many of
 * many. */
static unsigned count_others(int place, const char *ours, unsigned most)
{
    const char *name;
    unsigned count = 0, seen = 0, chance = (unsigned)getpid();

    for (size_t at = 0; (name = idle_names_next(&names, &at)) != NULL;) {
        long process = idle_name_process(name);
        if (process <= 0 || strcmp(name, ours) == 0)
            continue;
        bool look = seen < LOOKED_AT || count + 1 >= most || (seen + chance) % LOOKED_AT == 0;
        seen++;
        if (look && kill((pid_t)process, 0) != 0 && errno == ESRCH)
            unlinkat(place, name, 0);
        else
            count += is_of_an_idle_one(name);
    }
    return count;
}

/* The one behind this one in the line of those who wait; NULL for the last. */
static const char *next_in_line(const char *prefix, const char *behind)
{
    const char *name, *next = NULL;

    for (size_t at = 0; (name = idle_names_next_of(&names, prefix, &at)) != NULL;)
        if (strcmp(name, behind) > 0 && (next == NULL || strcmp(name, next) < 0))
            next = name;
    return next;
}

/* A channel to the one that has waited longest and whom no other calls; -1: nobody waits. */
static int call_who_waits(int place, uint64_t key)
{
    char prefix[IDLE_NAME_SIZE];
    int channel = -1;

    idle_prefix(key, IDLE_WAITS, prefix);
    for (const char *name = prefix; (name = next_in_line(prefix, name)) != NULL;)
        if (idle_connect(place, name, &channel)) {
            fcntl(channel, F_SETFL, 0); /* only to connect it must not wait */
            return channel;
        }
    if (channel >= 0)
        close(channel);
    return -1;
}

static int accept_until(int listener, const struct idle_stay *stay)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    bool glances = stay->sought && stay->glance != NULL;
    int64_t left_ms;

    while ((left_ms = stay->deadline_ms - clock_monotonic_ms()) > 0) {
        int64_t most_ms = glances ? IDLE_GLANCE_MS : INT_MAX;
        if (poll(&ready, 1, (int)(left_ms < most_ms ? left_ms : most_ms)) <= 0) {
            if (glances)
                stay->glance(stay->context);
            continue;
        }
        int channel = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (channel >= 0)
            return channel;
    }
    return -1;
}

/* A channel to somebody who has a message; -1: there is nobody, or no room to wait for one. */
static int meet(const struct idle_stay *stay, const char *name)
{
    char at_work[IDLE_NAME_SIZE];
    int listener = idle_listen(stay->place, name);

    if (listener < 0)
        return -1;
    idle_names_read(stay->place, &names);
    unsigned most = most_here();
    int channel = call_who_waits(stay->place, stay->key);
    if (channel < 0 && count_others(stay->place, name, most) < most)
        channel = accept_until(listener, stay);
    idle_name_at_work(stay->key, at_work);
    if (channel < 0 || renameat(stay->place, name, stay->place, at_work) != 0)
        unlinkat(stay->place, name, 0);
    close(listener); /* others who are calling hear of it at once, and look elsewhere */
    return channel;
}

static bool receive_visit(int channel, struct idle_visit *visit_r)
{
    char word = IDLE_READY;
    pid_t ignored;

    return idle_peer_is_ours(channel, &ignored) && send(channel, &word, 1, MSG_NOSIGNAL) == 1 &&
           idle_receive_descriptors(channel, visit_r);
}

bool idle_await(const struct idle_stay *stay, struct idle_visit *visit_r)
{
    char name[IDLE_NAME_SIZE];
    size_t length = idle_prefix(stay->key, stay->sought ? IDLE_SOUGHT : IDLE_RESTS, name);
    int channel;

    snprintf(name + length, sizeof name - length, "%ld", (long)getpid());
    while ((channel = meet(stay, name)) >= 0) {
        if (!stay->fit(stay->context)) {
            close(channel);
            return false;
        }
        if (receive_visit(channel, visit_r))
            return true;
        bool ends = idle_descriptors_came_late(channel);
        close(channel);
        if (ends)
            return false;
    }
    return false;
}

void idle_leave(int place, uint64_t key)
{
    idle_end_work(place, key);
    idle_names_read(place, &names);
    int channel = call_who_waits(place, key);
    if (channel >= 0)
        close(channel);
}
