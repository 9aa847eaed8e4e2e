/* queue_json: Postfix's queue by what it waits for (trace/backlog.h), as every command says it in JSON. */
#ifndef SENDPOST_CTL_QUEUE_JSON_H
#define SENDPOST_CTL_QUEUE_JSON_H

#include <json-c/json.h>

#include "trace/backlog.h"

/* backlog: NULL where it is not known, and why. */
struct json_object *queue_json(const struct backlog *backlog, const char *why)
    __attribute__((returns_nonnull));

#endif
