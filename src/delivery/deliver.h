/*
 * deliver: the pipeline. Read it as the table of contents of the project: identify, decide, relay, record,
 * report.
 *
 * Nothing in it is global: it may run many times, in many threads of one process, each with its own context.
 */
#ifndef SENDPOST_DELIVERY_DELIVER_H
#define SENDPOST_DELIVERY_DELIVER_H

#include <stdio.h>

#include "config/config.h"
#include "delivery/mark.h"
#include "delivery/message.h"
#include "delivery/status.h"
#include "event/event_report.h"
#include "policy/connections.h"
#include "policy/counters.h"
#include "policy/rate_table.h"
#include "relay/relay.h"
#include "store/store.h"
#include "supervisor/request.h"

struct deliver_context {
    const struct config *config;
    struct store *store;
    struct rate_table *rates;
    struct mark_table *marks;
    struct connections_desk *leases; /* NULL: connections are not counted */
    int64_t host;                    /* in a cluster: connections_share_host() */
    struct counters *counters;       /* NULL: nothing is counted */
    struct cluster *cluster;         /* NULL: this host alone */
    struct tls_contexts *cluster_tls;
    struct relay_session *relay;
    struct oauth *oauth;
    struct event_reporter *reporter;
    struct dns_resolver *resolver;
    int64_t deadline_ms;   /* clock_monotonic_ms() */
    FILE *trace;           /* NULL: none */
    bool (*awaited)(void); /* whether somebody waits for the result still */
};

/* For a context whose config is set, before each delivery: it stays open for the next one, and what others
 * may have exchanged since is looked at again. What was opened before a failure stays in it. */
bool deliver_open(struct deliver_context *context, struct outcome *error_r) __attribute__((nonnull));
/* Of an open context. */
struct admission_gate deliver_gate(const struct deliver_context *context) __attribute__((nonnull));

/* The connection to the TPSP has ended, or never began: its lease, if there is one, is given up. */
void deliver_disconnect(const struct deliver_context *context, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* Not the marks, which end with the process; nor the configuration. */
void deliver_close(struct deliver_context *context) __attribute__((nonnull));

/*
 * Whether what was read to its end is a whole message, as far as that can be known: awaited() says that its
 * writer has not died, and it is no smaller than the request says. False with *error_r set (4.3.0). Asked
 * once the message is read, and again right before its final dot is sent: a death shows a moment after the
 * end that it feigns, and much less than a session later. See doc/protocol.md.
 */
bool deliver_is_whole(const struct message *message, const struct delivery_request *request,
                      bool (*awaited)(void), struct outcome *error_r) __attribute__((nonnull));

/*
 * Deliver message as request asks. On return what became of it is on record (event row, log line); the result
 * is what Postfix is to be told.
 */
struct delivery_result deliver(const struct deliver_context *context, const struct delivery_request *request,
                               struct message *message) __attribute__((nonnull));

/*
 * --dry-run: print envelope and message as they would be sent to the first TPSP of the pool. Contacts nobody,
 * changes nothing; the store, relay and reporter of the context are not used and may be NULL.
 */
struct delivery_result deliver_dry_run(const struct deliver_context *context,
                                       const struct delivery_request *request, struct message *message,
                                       FILE *output) __attribute__((nonnull));

#endif
