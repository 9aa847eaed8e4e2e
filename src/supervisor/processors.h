/* processors: whether this machine's are all taken. Needs the C library alone. */
#ifndef SENDPOST_SUPERVISOR_PROCESSORS_H
#define SENDPOST_SUPERVISOR_PROCESSORS_H

#include <stdbool.h>
#include <stdint.h>

/* Never below 1. */
long processors_number(void);

/* At this moment: more than one runs or wants to run for each processor (proc_loadavg(5), its fourth field;
 * who asks is among them): one more process makes nothing faster. False where nobody can tell. */
bool processors_are_taken(void);
/* The same of what /proc/loadavg said, for so many processors. */
bool processors_are_taken_by(const char *loadavg, long processors) __attribute__((nonnull));

/* For how long the processors were idle, all together, since the machine started (proc_uptime(5)); -1 where
 * nobody can tell. Read twice it says what room there was meanwhile. */
int64_t processors_idle_ms(void);
/* The same of what /proc/uptime said. */
int64_t processors_idle_ms_of(const char *uptime) __attribute__((nonnull));

#endif
