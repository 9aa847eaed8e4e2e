/*
 * sandbox: a process gives up every right but to compute, to read what it has open and to write to what it
 * has open. For whoever takes apart what strangers wrote: a flaw in a library must not become one of the
 * machine.
 *
 * By seccomp (through libseccomp): what would open, look at or change a file fails with EACCES, so that a
 * library that looks for something goes on without; what would start a program or a process, or talk to
 * anybody (execve, fork, clone, socket, ptrace, kill …) ends the process with SIGSYS; everything else that is
 * not on the short list of what computing needs fails with EPERM. By Landlock besides, where the kernel has
 * it. By limits: memory, CPU time, no file may grow, no more descriptors, no process.
 *
 * Under AddressSanitizer, which needs more than that, the rest is allowed and memory is not bounded.
 */
#ifndef SENDPOST_BOUNCE_SANDBOX_H
#define SENDPOST_BOUNCE_SANDBOX_H

#include <stdbool.h>

#include "base/outcome.h"

#define SANDBOX_MEMORY_MAX (512ull << 20)
#define SANDBOX_CPU_S 20

/* For good, and for all threads to come. Descriptors above standard error are closed. False with *error_r
 * set: nothing that a stranger wrote is to be looked at then. */
bool sandbox_enter(struct outcome *error_r) __attribute__((nonnull));

/* What is in force besides seccomp, for the log: "landlock", or "" where the kernel has none. */
const char *sandbox_besides(void) __attribute__((returns_nonnull));

#endif
