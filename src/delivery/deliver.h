/*
 * deliver: the pipeline. Read it as the table of contents of the project: identify, decide, relay, record,
 * report.
 *
 * Nothing in it is global: it may run many times, in many threads of one process, each with its own context.
 */
#ifndef SENDPOST_DELIVER_H
#define SENDPOST_DELIVER_H

#include <stdio.h>

#include "base/config.h"
#include "base/store.h"
#include "delivery/message.h"
#include "delivery/request.h"
#include "event/event_report.h"
#include "relay/relay.h"

struct deliver_context {
    const struct config *config;
    struct store *store;
    struct relay_session *relay;
    struct event_reporter *reporter;
    struct dns_resolver *resolver;
    int64_t deadline_ms; /* clock_monotonic_ms() */
    FILE *trace;         /* NULL: none */
};

/*
 * Deliver message as request asks. On return what became of it is on record (event row, retry ladder, log
 * line) and *outcome_r says what Postfix is to be told; uuid_r and tpsp_r name it for the status line.
 */
void deliver(const struct deliver_context *context, const struct delivery_request *request,
             struct message *message, struct outcome *outcome_r, char uuid_r[UUID_SIZE], const char **tpsp_r)
    __attribute__((nonnull));

#endif
