/* The deliverer's side of the meeting place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/idle_private.h"

#define SEATS "seats"

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

/* --- taking part -------------------------------------------------------------------------------- */

static void close_one(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

void idle_part(struct idle_member *member)
{
    close_one(&member->readiness);
    close_one(&member->line);
    close_one(&member->seats);
    close_one(&member->place);
}

/* Exclusive: of all who wait one is woken. */
static int open_readiness(int line)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    int readiness = epoll_create1(EPOLL_CLOEXEC);

    if (readiness >= 0 && epoll_ctl(readiness, EPOLL_CTL_ADD, line, &event) != 0)
        close_one(&readiness);
    return readiness;
}

bool idle_join(const char *places, uint64_t key, struct idle_member *member_r)
{
    *member_r = (struct idle_member)IDLE_NO_MEMBER;
    member_r->most = most_here();
    member_r->place = idle_place_open(places, true);
    if (member_r->place < 0)
        return false;
    member_r->line = idle_line_open(member_r->place, key, IDLE_ANSWERS);
    member_r->seats = openat(member_r->place, SEATS, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (member_r->line >= 0 && member_r->seats >= 0)
        member_r->readiness = open_readiness(member_r->line);
    if (member_r->readiness >= 0) {
        idle_place_sweep(member_r->place);
        return true;
    }
    idle_part(member_r);
    return false;
}

/* --- a seat for each who waits ------------------------------------------------------------------- */

static bool lock_seat(int seats, off_t seat, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = seat, .l_len = 1};

    return fcntl(seats, F_OFD_SETLK, &lock) == 0;
}

/* -1: all are taken. */
static off_t take_seat(const struct idle_member *member)
{
    unsigned first = (unsigned)getpid() % member->most;

    for (unsigned i = 0; i < member->most; i++) {
        off_t seat = (first + i) % member->most;
        if (lock_seat(member->seats, seat, F_WRLCK))
            return seat;
        if (errno != EAGAIN && errno != EACCES)
            return -1;
    }
    return -1;
}

/* --- meeting ------------------------------------------------------------------------------------- */

/* A channel to the one that has waited longest; -1: nobody waits. */
static int call_who_waits(const struct idle_member *member)
{
    struct idle_token token;
    int channel = -1;

    while (channel < 0 && idle_token_read(member->line, &token))
        channel = idle_connect(member->place, token.name);
    return channel;
}

static int call_who_comes(const struct idle_member *member, const struct idle_stay *stay)
{
    struct epoll_event event;
    int64_t left_ms;
    int channel = -1;

    while (channel < 0 && (left_ms = stay->deadline_ms - clock_monotonic_ms()) > 0) {
        bool glances = stay->glance != NULL && left_ms > IDLE_GLANCE_MS;
        if (epoll_wait(member->readiness, &event, 1, glances ? IDLE_GLANCE_MS : (int)left_ms) > 0)
            channel = call_who_waits(member);
        else if (glances)
            stay->glance(stay->context);
    }
    return channel;
}

/* A channel to somebody who has a message; -1: there is nobody, or no room to wait for one. */
static int meet(const struct idle_member *member, const struct idle_stay *stay)
{
    int channel = call_who_waits(member);
    off_t seat = channel < 0 ? take_seat(member) : -1;

    if (seat >= 0) {
        channel = call_who_comes(member, stay);
        lock_seat(member->seats, seat, F_UNLCK);
    }
    return channel;
}

static bool receive_visit(int channel, struct idle_visit *visit_r)
{
    char word = IDLE_READY;
    pid_t ignored;

    return idle_peer_is_ours(channel, &ignored) && send(channel, &word, 1, MSG_NOSIGNAL) == 1 &&
           idle_receive_descriptors(channel, visit_r);
}

bool idle_await(const struct idle_member *member, const struct idle_stay *stay, struct idle_visit *visit_r)
{
    int channel;

    while ((channel = meet(member, stay)) >= 0) {
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
