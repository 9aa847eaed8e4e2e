/*
 * ledger: turns the notes of track into events, and remembers in the store what a later line may need: the
 * recipients that were deferred (when the message expires in the queue, Postfix names none of them) and the
 * fates of a message whose UUID is not known yet.
 *
 * Everything happens inside the caller's transaction, on its store and in its thread.
 */
#ifndef SENDPOST_AGENT_LEDGER_H
#define SENDPOST_AGENT_LEDGER_H

#include "agent/feed.h"
#include "agent/track.h"
#include "classify/classify.h"
#include "config/config.h"
#include "event/event.h"
#include "store/store.h"

struct ledger_counts {                    /* since the start */
    uint64_t events[CS_SOFT_BOUNCED + 1]; /* by enum event_cs */
    uint64_t released;                    /* fates that got their UUID late */
    uint64_t coalesced;                   /* deferrals that were not reported, report.deferred-interval */
};

struct ledger {
    struct store *store;
    const struct config *config;
    const struct classify_rules *rules;
    struct feed *feed;           /* NULL: nobody hears what was said */
    int64_t now_ms;              /* clock_realtime_ms(), of late */
    struct outcome error;        /* why ledger_note() returned false */
    struct ledger_counts counts; /* as what they count: the caller takes them back with his transaction */
};

/* track's note function; context is the ledger. */
bool ledger_note(void *context, const struct track_note *note) __attribute__((nonnull));

#endif
