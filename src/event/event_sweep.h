/*
 * event_sweep: events older than events-retention are deleted by those who report, a little at a time, so
 * that no delivery waits long for it. A part of event_report; nobody else includes it.
 */
#ifndef SENDPOST_EVENT_EVENT_SWEEP_H
#define SENDPOST_EVENT_EVENT_SWEEP_H

#include "config/config.h"
#include "store/store.h"

/* Begins as {0}. */
struct event_sweep {
    int64_t next_ms; /* clock_monotonic_ms() */
    int64_t from;    /* event_store_sweep() */
    int64_t young;   /* the same behind what is kept as proof, where events-retention is shorter than that */
};

/* For a process that only ever reports its own event, after each: where no agent does it. */
void event_sweep_sometimes(struct event_sweep *sweep, struct store *store, const struct config *config)
    __attribute__((nonnull));

/* For one that reports what others left; it looks after the index (event/event_index.h), too. */
void event_sweep_regularly(struct event_sweep *sweep, struct store *store, const struct config *config)
    __attribute__((nonnull));

#endif
