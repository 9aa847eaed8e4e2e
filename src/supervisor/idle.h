/*
 * idle: how a supervisor finds a deliverer that has finished its delivery and stays a moment for the next
 * one. Needs the C library alone.
 *
 * An idle deliverer listens on one of IDLE_SLOTS abstract local sockets (unix(7)) whose names are made of
 * everything that two deliveries must have in common to be served by one process: user, mount namespace,
 * environment, program file and configuration file, each as it is now. So a changed configuration, or an
 * upgraded package, finds nobody, and the deliverers of before end by themselves. An abstract name belongs to
 * whoever comes first and has no permissions: both sides ask the kernel for the user at the other end, and
 * whatever is wrong, the supervisor starts a deliverer of its own.
 *
 * The deliverer speaks first: READY, when it has taken the connection, stopped listening, and found itself
 * fit. Only then does the supervisor send the descriptors and the request. Before that nothing has begun and
 * the supervisor may turn to another; after it, what happens to the deliverer is what happens to a child: no
 * answer means "try again later", never a second deliverer for the same message.
 */
#ifndef SENDPOST_SUPERVISOR_IDLE_H
#define SENDPOST_SUPERVISOR_IDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define IDLE_SLOTS 64 /* so many deliverers may be idle at a time */

/* False when one of the files cannot be seen. */
bool idle_key(const char *program_path, const char *config_path, uint64_t *key_r) __attribute__((nonnull));

/*
 * The supervisor's side: the channel to an idle deliverer, which has been given input (the message) and
 * output (for what it prints); *pid_r is its process id. The request frame is to be sent next. -1: there is
 * none.
 */
int idle_call(uint64_t key, int input, int output, pid_t *pid_r) __attribute__((nonnull));

struct idle_visit {
    int channel, input, output;
};

/*
 * The deliverer's side: wait for a supervisor until deadline_ms (clock_monotonic_ms()). fit is asked when one
 * has come; false ends the wait. False when nobody came, all slots are taken, or it is not fit any more.
 */
bool idle_await(uint64_t key, int64_t deadline_ms, bool (*fit)(void *context), void *context,
                struct idle_visit *visit_r) __attribute__((nonnull(3, 5)));

#endif
