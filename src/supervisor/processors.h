/* processors: whether this machine's are all taken. Needs the C library alone. */
#ifndef SENDPOST_SUPERVISOR_PROCESSORS_H
#define SENDPOST_SUPERVISOR_PROCESSORS_H

#include <stdbool.h>

/* More than two run or want to run for each processor (proc_loadavg(5), its fourth field): one more process
 * makes nothing faster. False where nobody can tell. */
bool processors_are_taken(void);
/* The same of what /proc/loadavg said, for so many processors. */
bool processors_are_taken_by(const char *loadavg, long processors) __attribute__((nonnull));

#endif
