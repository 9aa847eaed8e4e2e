/*
 * agent: the program as a whole: reads the log, wakes the reporter, answers signals and the service manager.
 */
#ifndef SENDPOST_AGENT_AGENT_H
#define SENDPOST_AGENT_AGENT_H

#include <stdbool.h>

#include "agent/overrides.h"

struct agent_options {
    const char *config_path;
    bool once;       /* to the end of the log, flush, and end */
    bool from_start; /* without a stored position, at the top of the log */
    bool verbose;
    struct overrides overrides;
};

/* The exit status: 0, or 75 when events stay pending (once) or it cannot start. Signals are blocked by
 * main(). */
int agent_run(const struct agent_options *options) __attribute__((nonnull));

#endif
