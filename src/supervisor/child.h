/*
 * child: the process that does the work for a supervisor: one that an earlier supervisor left behind and that
 * waits for more (supervisor/idle.h), or a new one. Needs the C library alone.
 *
 * Either way it has our standard input, prints into a pipe of ours, and is asked and answers over a local
 * stream.
 */
#ifndef SENDPOST_SUPERVISOR_CHILD_H
#define SENDPOST_SUPERVISOR_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child_process {
    pid_t pid;
    /* it is not our own child: the kernel tells us nothing of its end but that the channel closes */
    bool adopted;
    int process; /* of an adopted one: pidfd_open(2) */
    int channel;
    int output;
    int line; /* open while it is at work, so that others wait for it (supervisor/idle.h); -1: they do not */
};

struct supervision;

/* Start it and send it the request. 0, or errno, with path_r telling of what. */
int child_start(struct child_process *process_r, const struct supervision *wish, char *path_r,
                size_t path_size) __attribute__((nonnull));

/* It has done its work, or will do none: nobody is to wait for it on our word. */
void child_end(struct child_process *process) __attribute__((nonnull));

#endif
