/*
 * status: an outcome becomes what Postfix is told (exit status and the line that begins with the enhanced
 * status code) and what the log is told (one line in Postfix's own style).
 */
#ifndef SENDPOST_DELIVERY_STATUS_H
#define SENDPOST_DELIVERY_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"
#include "relay/relay.h"
#include "supervisor/request.h"

/* What the line and the log name; NULL or "" where not known. */
struct status_facts {
    const struct outcome *outcome;
    const char *uuid;
    const char *tpsp;
    const struct relay_result *relay; /* NULL: the TPSP was not asked */
    const char *queue_id;
    const char *sender;
    const char *recipient;
    int64_t delay_ms; /* of this run */
};

struct delivery_result status_result(const struct status_facts *facts) __attribute__((nonnull));

void status_log(const struct status_facts *facts) __attribute__((nonnull));

#endif
