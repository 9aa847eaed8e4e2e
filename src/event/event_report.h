/*
 * event_report: events leave for the API, and the store learns what became of them. All answers of the
 * contract are dealt with here, for one event as for a batch, so that the pipe, the agent, sendpost-bounce
 * and `sendpostctl events flush` behave alike.
 */
#ifndef SENDPOST_EVENT_EVENT_REPORT_H
#define SENDPOST_EVENT_EVENT_REPORT_H

#include <stdio.h>

#include "config/config.h"
#include "event/event.h"
#include "event/event_answer.h"
#include "event/event_store.h"
#include "store/store.h"

struct event_reporter;

/* The state in which an event of this kind is to be stored under this configuration: EVENT_PENDING or
 * EVENT_LOCAL. */
enum event_state event_report_state(const struct config *config, const struct event *event)
    __attribute__((nonnull));

/* When an event that its writer adds at now_ms is due for everybody else: until then the writer reports it.
 */
int64_t event_report_due_ms(const struct config *config, int64_t now_ms) __attribute__((nonnull));

/* What a reporter may be told, each NULL where it does not matter. */
struct event_reporter_options {
    FILE *trace; /* the HTTP dialogue goes there, keys masked */
    /* Compress large requests with this function (event_gzip.h), where the endpoint takes that. */
    char *(*compress)(const char *body, size_t length, size_t *packed_length_r);
    /* Be told of each answer of the API: its HTTP status (0: none came) and how long it took. */
    void (*observe)(void *context, int status, int64_t elapsed_ms);
    void *observe_context;
};

/* Keeps its HTTP connection for as long as it lives. Belongs to one thread, like the store it works on
 * (NULL: for event_reporter_probe() alone). Both outlive it. */
struct event_reporter *event_reporter_open(const struct config *config, struct store *store,
                                           const struct event_reporter_options *options)
    __attribute__((nonnull(1, 3), returns_nonnull));
void event_reporter_close(struct event_reporter *reporter); /* NULL is fine */

/* An event of this TPSP will probably follow: load what is needed to report it meanwhile, in a thread of its
 * own. Not while the API is known to be down. */
void event_reporter_prepare(struct event_reporter *reporter, const char *tpsp) __attribute__((nonnull));

/*
 * Whether the endpoint takes this key (NULL: none), by a batch without events: the one request that changes
 * nothing anywhere. An API that looks at the key before the body answers for the key.
 * event_reporter_last_error() has its words.
 */
enum event_answer event_reporter_probe(struct event_reporter *reporter, const char *key)
    __attribute__((nonnull(1)));

enum event_report_result {
    EVENT_REPORT_DONE,    /* every event is reported, rejected or local */
    EVENT_REPORT_KEPT,    /* some that were due stay pending: API down, busy, or the key is refused */
    EVENT_REPORT_LEFT,    /* of event_report_one() alone: API slow, the agent reports it soon */
    EVENT_REPORT_TROUBLE, /* the store failed; *error_r says why */
};

/*
 * Report one event, stored as pending and committed by the caller before. When it stays pending, the row is
 * made durable (fsync) before this returns. Takes at most report.timeout, and ends by deadline_ms
 * (clock_monotonic_ms()). While the API is known to be down it is not asked at all (event/event_pause.h),
 * while it is slow hardly ever (event/event_pace.h).
 * EVENT_REPORT_TROUBLE: the event is neither reported nor durable.
 */
enum event_report_result event_report_one(struct event_reporter *reporter, const struct event *event,
                                          int64_t deadline_ms, struct outcome *error_r)
    __attribute__((nonnull));

struct event_report_counts {
    uint64_t reported, rejected, kept;
    bool unfinished; /* the time was up before all that was due had been tried */
};

/*
 * Report what is pending and due in batches of config.batch_size, each event with the key of its TPSP, until
 * nothing that was due at the beginning is left, the API fails, or deadline_ms. A batch holds the oldest; of
 * a backlog of more than one batch a quarter of it are the newest (event/event_outbox.h). One process at a
 * time reports a batch. all: also what is not due yet, and although the API is known to be down: a person
 * asks. Never what another process is just reporting. counts_r is added to. A request is begun only while
 * there is time for it, but for the first one. Also deletes events older than events-retention.
 */
enum event_report_result event_report_pending(struct event_reporter *reporter, bool all, int64_t deadline_ms,
                                              struct event_report_counts *counts_r, struct outcome *error_r)
    __attribute__((nonnull));

/* Between two events of its own, when nobody waits for this process: some of what is older than
 * events-retention is deleted, where no agent does that. */
void event_reporter_rest(struct event_reporter *reporter) __attribute__((nonnull));

/* When the API said that it was, in seconds since 1970, with its last answer; 0: it did not say. */
int64_t event_reporter_date_s(const struct event_reporter *reporter) __attribute__((nonnull));

/* What the API said last, in words for a log line or a person: "HTTP 401: the key is refused". Never NULL,
 * may be "". */
const char *event_reporter_last_error(const struct event_reporter *reporter)
    __attribute__((nonnull, returns_nonnull));

#endif
