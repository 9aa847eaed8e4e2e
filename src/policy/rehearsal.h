/*
 * rehearsal: what a configuration would have done with mail that came before. Each message comes again at the
 * time at which it came, by a clock of the rehearsal's own, to the limits of that configuration: the code
 * that decides is that of a delivery (pool.h), on a table of its own in a directory that is removed
 * afterwards.
 *
 * What it assumes: a TPSP that is asked takes the message; this host is alone; who is refused comes again as
 * Postfix would bring him, after his age in the queue, within the defaults of minimal_backoff_time and
 * maximal_backoff_time. Connections are not counted: events do not tell how long a delivery took.
 *
 * A rehearsal belongs to one thread.
 */
#ifndef SENDPOST_POLICY_REHEARSAL_H
#define SENDPOST_POLICY_REHEARSAL_H

#include "event/event.h"
#include "policy/pool.h"

#define REHEARSAL_NAMES 1024 /* so many TPSPs, sender domains and limits are told apart */

/* Each different text once. */
struct rehearsal_names {
    char *items[REHEARSAL_NAMES];
    size_t count;
};

struct rehearsal_arrival;

/* The results may be read, once it was played. */
struct rehearsal {
    struct config *config;
    struct rehearsal_arrival *arrivals;
    size_t room;
    int64_t patience_ms; /* rate-limit-wait */
    int64_t now_ns;
    struct rate_clock clock;
    char directory[64];
    struct rate_table *table;
    struct rehearsal_names domains;

    size_t messages, at_once;
    size_t expired;               /* waited for longer than five days */
    struct rehearsal_names tpsps; /* with what each took, and would take */
    size_t before[REHEARSAL_NAMES], after[REHEARSAL_NAMES];
    struct rehearsal_names limits; /* with those whom each held up first */
    struct rehearsal_toll {
        int64_t *waits_ms; /* in order */
        size_t count;
    } tolls[REHEARSAL_NAMES];
};

/* config is taken over. NULL with *error_r set (CAUSE_OURS) when there is no room for the table; config is
 * freed then, too. */
struct rehearsal *rehearsal_open(struct config *config, struct outcome *error_r) __attribute__((nonnull));
void rehearsal_close(struct rehearsal *rehearsal); /* NULL is fine */

/* An event of what was. bounce_prefix: of the configuration that it is of. */
void rehearsal_add(struct rehearsal *rehearsal, const struct event *event, const char *bounce_prefix)
    __attribute__((nonnull));

/* False with *error_r set when the table fails. */
bool rehearsal_play(struct rehearsal *rehearsal, struct outcome *error_r) __attribute__((nonnull));

#endif
