/*
 * overrides: what the command line of sendpost-agent says instead of the configuration, in the words of
 * SendPost's own agent: --api-key, --mta, --endpoint, --log-path.
 */
#ifndef SENDPOST_AGENT_OVERRIDES_H
#define SENDPOST_AGENT_OVERRIDES_H

#include "base/outcome.h"
#include "config/config.h"

/* NULL: not given. */
struct overrides {
    char *api_key; /* secret */
    const char *mta, *endpoint, *log_path;
};

/*
 * The value of --api-key leaves the command line, where every user of the machine can read it, at once; until
 * then it stands there, so a file is better. text is overwritten.
 */
void overrides_take_key(struct overrides *overrides, char *text) __attribute__((nonnull));

/* False: *error_r says which of them cannot be used, and why. */
bool overrides_apply(const struct overrides *overrides, struct config *config, struct outcome *error_r)
    __attribute__((nonnull));

#endif
