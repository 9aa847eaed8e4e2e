/* processors: whether this machine's are all taken. Needs the C library alone. */
#ifndef SENDPOST_SUPERVISOR_PROCESSORS_H
#define SENDPOST_SUPERVISOR_PROCESSORS_H

#include <stdbool.h>

/* More than one runs or wants to run for each processor (proc_loadavg(5), its fourth field; who asks is among
 * them): one more process makes nothing faster. False where nobody can tell. */
bool processors_are_taken(void);
/* The same of what /proc/loadavg said, for so many processors. */
bool processors_are_taken_by(const char *loadavg, long processors) __attribute__((nonnull));

#endif
