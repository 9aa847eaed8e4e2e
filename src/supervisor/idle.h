/*
 * idle: how a supervisor finds a deliverer that has finished its delivery and stays a moment for the next
 * one. Needs the C library alone.
 *
 * The meeting place is a directory of the user, IDLE_PLACES/UID, mode 0700: whoever may make it does, and
 * where it is not, or is not this user's alone, every delivery starts a process. It is not named in the
 * configuration, which a supervisor cannot read. In it lies a FIFO (fifo(7)), the line of those who wait,
 * named after a key. The key is made of everything that two deliveries must have in common to be served by
 * one process: user, mount namespace, environment, program file and configuration file, each as it is now. So
 * after a change of the configuration, or an upgrade of the package, nobody is found, and the deliverers of
 * before end by themselves.
 *
 * A supervisor listens on a local socket (unix(7)) in the meeting place and writes the socket's name into the
 * line. Deliverers that are idle read from it, and the one that gets the name calls. So who came first is
 * served first, one process is woken for each message (the one that takes part for longest, as Linux does it:
 * where few are enough, few serve), and nobody looks through a directory. Both sides ask the kernel for the
 * user at the other end.
 *
 * Who will be idle some time has the line open for reading: a deliverer at work, and a supervisor that has
 * started one. So where nobody is at work a supervisor cannot open the line, or hears at once that the last
 * one has gone; whatever kills a process, the kernel closes what it had. How long it is better to wait for
 * one than to start one, the caller says (supervisor/patience.h).
 *
 * The deliverer speaks first: READY, when it has found itself fit. Only then does the supervisor send the
 * descriptors and the request. Before that nothing has begun and the supervisor may start one of its own;
 * after it, what happens to the deliverer is what happens to a child: no answer means "try again later",
 * never a second deliverer for the same message.
 */
#ifndef SENDPOST_SUPERVISOR_IDLE_H
#define SENDPOST_SUPERVISOR_IDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IDLE_PLACES RUNSTATEDIR "/postfix-sendpost"

/* About so many deliverers may be idle at a time: as many as an eighth of the machine's memory holds. */
#define IDLE_MEMORY ((uint64_t)4 << 20) /* private memory of one, with some room */
#define IDLE_FEWEST 8
#define IDLE_MOST 1000
unsigned idle_most(uint64_t memory);

/* The meeting place of a user, by its name. */
void idle_place_path(const char *places, uid_t user, char *path_r, size_t size) __attribute__((nonnull));

/* The descriptor of this user's meeting place; -1 with errno, EPERM where it is not this user's alone. make:
 * if it is not there, try to make it first. */
int idle_place_open(const char *places, bool make) __attribute__((nonnull));

/* As root, for another user: the meeting place is there afterwards and this user's alone. Nothing that is
 * there already is changed. False with errno, EPERM where what is there is not this user's alone. */
bool idle_place_make(const char *places, uid_t user, gid_t group) __attribute__((nonnull));

/* False when one of the files cannot be seen. */
bool idle_key(const char *program_path, const char *config_path, uint64_t *key_r) __attribute__((nonnull));

/* What a deliverer is given: the message, where to print, and the supervisor's standard output
 * (READER_DESCRIPTOR). */
enum idle_gift { IDLE_INPUT, IDLE_OUTPUT, IDLE_READER, IDLE_GIFTS };

struct idle_deliverer {
    int channel; /* to it */
    int process; /* pidfd_open(2): to end it, and never another of the same number */
};

struct idle_wait {
    int64_t ms; /* so far */
    bool asks;  /* for all who wait: one of them at a time does */
};

struct idle_caller {
    int place;
    uint64_t key;
    const int *gifts; /* IDLE_GIFTS; they stay the caller's */
    /* asked now and then while it waits; true: it has waited long enough */
    bool (*enough)(void *context, const struct idle_wait *wait);
    void *context;
};

/*
 * The supervisor's side: a deliverer, which has been given these descriptors. The request frame is to be sent
 * next. False when there is none, and the caller is to start one. For as long as that is at work it keeps
 * *line_r open, -1 if there is none: others count on it.
 */
bool idle_call(const struct idle_caller *caller, struct idle_deliverer *deliverer_r, int *line_r)
    __attribute__((nonnull));

/* What a deliverer has all its life, so that others count on it and it can be idle. */
struct idle_member {
    int place;
    int line;
    int readiness; /* epoll(7) of the line */
    int seats;     /* who waits has a lock on one byte of it */
    unsigned most; /* so many seats there are */
};

#define IDLE_NO_MEMBER    \
    {                     \
        -1, -1, -1, -1, 0 \
    }

/* Take part. False: not possible here, and all is closed. */
bool idle_join(const char *places, uint64_t key, struct idle_member *member_r) __attribute__((nonnull));

/* Nobody counts on this process any more. */
void idle_part(struct idle_member *member) __attribute__((nonnull));

struct idle_visit {
    int channel;
    int gifts[IDLE_GIFTS];
};

struct idle_stay {
    int64_t deadline_ms; /* clock_monotonic_ms() */
    /* asked when somebody has come; false ends the stay */
    bool (*fit)(void *context);
    /* every IDLE_GLANCE_MS: whether somebody else wants what this process only keeps; NULL: never */
    void (*glance)(void *context);
    void *context;
};

#define IDLE_GLANCE_MS 50

/*
 * The deliverer's side: whoever has waited longest, or else waits for somebody. False when nobody came in
 * time, idle_most() are there, or it is not fit any more.
 */
bool idle_await(const struct idle_member *member, const struct idle_stay *stay, struct idle_visit *visit_r)
    __attribute__((nonnull));

#endif
