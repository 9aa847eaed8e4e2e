/*
 * run: run a program of the system, without a shell, and keep what it printed.
 */
#ifndef SENDPOST_BASE_RUN_H
#define SENDPOST_BASE_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct run {
    int status; /* exit status; 127: it could not be started; 128 + signal */
    char *out;  /* never NULL; no line end at its end */
    char *err;
};

/* argv[0] is looked for in PATH and then in /usr/sbin and /sbin, which not every PATH has. run_free() in
 * any case. Returns whether it ran and ended with 0, and all that it printed, up to 64 MB, is here. */
bool run_program(struct run *run, const char *const argv[]) __attribute__((nonnull));
/* The same; what has not ended by until_ms (clock_monotonic_ms()) is killed, and false. */
bool run_program_until(struct run *run, const char *const argv[], int64_t until_ms) __attribute__((nonnull));
void run_free(struct run *run) __attribute__((nonnull));

#endif
