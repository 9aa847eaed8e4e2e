/* agent_health: what a running sendpost-agent says of itself, see contract section 6. */
#ifndef SENDPOST_CTL_AGENT_HEALTH_H
#define SENDPOST_CTL_AGENT_HEALTH_H

#include <json-c/json.h>

#include "config/config.h"

/*
 * GET http://LISTEN/health; an agent in trouble (503) answers, too. NULL, with *why_r to be freed by the
 * caller, when none does; *why_r is NULL otherwise. The object is the caller's.
 */
struct json_object *agent_health(const struct config *config, char **why_r) __attribute__((nonnull));

/* A member as text; "" where it is not there, or null. */
const char *agent_health_text(struct json_object *health, const char *key)
    __attribute__((nonnull(2), returns_nonnull));

#endif
