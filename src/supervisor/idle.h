/*
 * idle: how a supervisor finds a deliverer that has finished its delivery and stays a moment for the next
 * one. Needs the C library alone.
 *
 * The meeting place is a directory of the user, IDLE_PLACES/UID, mode 0700: whoever may make it does, and
 * where it is not, or is not this user's alone, every delivery starts a process. It is not named in the
 * configuration, which a supervisor cannot read. An idle deliverer listens there on a local socket (unix(7))
 * named after a key and its process id. The key is made of everything that two deliveries must have in common
 * to be served by one process: user, mount namespace, environment, program file and configuration file, each
 * as it is now. So a changed configuration, or an upgraded package, finds nobody, and the deliverers of
 * before end by themselves. Besides, both sides ask the kernel for the user at the other end.
 *
 * One that has what few may have (a connection to a server that allows us only so many) says so in its name,
 * and is called first.
 *
 * Who finds nobody idle, or others who wait, gets in line: it listens there itself, under a name with the
 * time at which it came. A deliverer that has finished calls the one that came first, and lies down only when
 * there is none. So nobody looks again and again, nobody overtakes, and of many who wait one is woken. How
 * long it is better to wait than to start one, the caller says (supervisor/patience.h). Names of a
 * third kind tell who is at work and will be idle later; without one there is nobody to wait for.
 *
 * A socket gets its name when somebody listens on it, and loses it before nobody does. One that refuses a
 * caller was left by a process that died, and the caller removes it.
 *
 * Whoever called, the deliverer speaks first: READY, when there is a connection, it has stopped listening,
 * and found itself fit. Only then does the supervisor send the descriptors and the request. Before that
 * nothing has begun and the supervisor may turn to another; after it, what happens to the deliverer is what
 * happens to a child: no answer means "try again later", never a second deliverer for the same message.
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

/*
 * The names in a meeting place, read at once: a supervisor lives for one call, so that what readdir(3) needs
 * of memory and system calls would be a good part of it. IDLE_MOST and as many who wait have room; what has
 * none is not seen.
 */
struct idle_names {
    size_t length;
    _Alignas(8) char bytes[131072];
};
void idle_names_read(int place, struct idle_names *names_r) __attribute__((nonnull));
/* From *at on, 0 for the first; NULL when there is none any more. */
const char *idle_names_next(const struct idle_names *names, size_t *at) __attribute__((nonnull));

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
    int64_t ms;         /* so far */
    bool behind_others; /* who were in line before */
    bool in_vain;       /* there was no deliverer that will be idle some time, and none was started */
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
 * The supervisor's side: an idle deliverer, which has been given these descriptors. The request frame is to
 * be sent next. False when there is none; this process may start one then, and others count on that until
 * idle_end_work().
 */
bool idle_call(const struct idle_caller *caller, struct idle_deliverer *deliverer_r) __attribute__((nonnull));

struct idle_visit {
    int channel;
    int gifts[IDLE_GIFTS];
};

struct idle_stay {
    int place;
    uint64_t key;
    int64_t deadline_ms; /* clock_monotonic_ms() */
    bool sought;         /* has what few may have: to be called first */
    /* asked when somebody has come; false ends the stay */
    bool (*fit)(void *context);
    /* of one that is sought, every IDLE_GLANCE_MS: whether somebody else wants it; NULL: never */
    void (*glance)(void *context);
    void *context;
};

#define IDLE_GLANCE_MS 50

/*
 * The deliverer's side: wait for a supervisor. False when nobody came in time, idle_most() are there, or it
 * is not fit any more.
 */
bool idle_await(const struct idle_stay *stay, struct idle_visit *visit_r) __attribute__((nonnull));

/* What this process started, or it itself, will be idle no more. */
void idle_end_work(int place, uint64_t key);

/* A deliverer of this key ends: the supervisor that has waited longest, if there is one, looks around once
 * more and is told that there is no deliverer for it. */
void idle_leave(int place, uint64_t key);

#endif
