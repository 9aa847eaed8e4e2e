/*
 * ctl_run: run a program of the system, without a shell, and keep what it printed.
 */
#ifndef SENDPOST_CTL_CTL_RUN_H
#define SENDPOST_CTL_CTL_RUN_H

#include <stdbool.h>

struct ctl_run {
    int status; /* exit status; 127: it could not be started; 128 + signal */
    char *out;  /* never NULL; no line end at its end */
    char *err;
};

/* argv[0] is looked for in PATH and then in /usr/sbin and /sbin, which not every PATH has. ctl_run_free() in
 * any case. Returns whether it ran and ended with 0. */
bool ctl_run(struct ctl_run *run, const char *const argv[]) __attribute__((nonnull));
void ctl_run_free(struct ctl_run *run) __attribute__((nonnull));

#endif
