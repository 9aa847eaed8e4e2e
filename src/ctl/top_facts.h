/*
 * top_facts: what `sendpostctl top` shows, gathered in one turn: from the store (to read only, with a limit
 * of time: nobody who has mail in hand waits for it), the counters that deliveries add to, the rate table,
 * and Postfix's queue. What cannot be known now is marked so.
 *
 * A rate is of the last minute or so: of what the counters had then, or, of TPSPs, of five minutes in the
 * store.
 */
#ifndef SENDPOST_CTL_TOP_FACTS_H
#define SENDPOST_CTL_TOP_FACTS_H

#include "config/config.h"
#include "policy/counters.h"
#include "trace/backlog.h"

#define TOP_NAME_SIZE 240 /* three names of the counters, and words between */

enum top_outcome { TOP_DELIVERED, TOP_DEFERRED, TOP_OVER_RATE, TOP_DROPPED, TOP_OUTCOMES };

/* A line of the counters: deliveries through a TPSP to a provider, or a reason (the first value alone). */
struct top_line {
    uint64_t key; /* of the series */
    char name[TOP_NAME_SIZE];
    uint64_t counts[TOP_OUTCOMES]; /* since counting began */
    double per_minute[TOP_OUTCOMES];
};

struct top_lines {
    struct top_line *lines;
    size_t count;
};

struct top_tpsp {
    const char *name;
    bool trouble;               /* it gets less than it is configured to, or nothing */
    char state[64];             /* "in use", "suspended", "slowed down to 30%" … */
    uint64_t day[TOP_OUTCOMES]; /* 24 hours: delivered, deferred, dropped */
    double per_minute;          /* delivered */
};

struct top_facts {
    int64_t now_ms;
    struct top_tpsp *tpsps; /* as in the configuration */
    size_t tpsp_count;
    bool store_known;
    int64_t waiting, held;     /* the retry ladder */
    int64_t next_ms;           /* when the next is due; 0: none */
    int64_t pending, rejected; /* events */
    bool counted;              /* there are counters */
    bool rates_known;          /* since there was a look before this one */
    struct top_lines providers, reasons;
    bool queue_known;
    struct backlog queue;
    char cluster[200]; /* what hosts have in common, and how it is; "": nothing */
    bool cluster_ok;
};

struct top_watch; /* remembers what the counters were */

struct top_watch *top_watch_new(const struct config *config) __attribute__((nonnull, returns_nonnull));
void top_watch_free(struct top_watch *watch);

/* Valid until the next. The queue stays as it is. */
const struct top_facts *top_watch_look(struct top_watch *watch) __attribute__((nonnull, returns_nonnull));
/* The cluster anew; words NULL: it is not known. */
void top_watch_cluster(struct top_watch *watch, const char *words, bool ok) __attribute__((nonnull(1)));
/* The queue anew, of the text of "postqueue -j"; all of it: whole. NULL: it is not known. */
void top_watch_queue(struct top_watch *watch, const char *text, bool whole) __attribute__((nonnull(1)));

#endif
