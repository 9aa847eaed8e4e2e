/*
 * event_pace: what every process knows about an API that answers, but slowly, so that not each delivery waits
 * for it. A part of event_report; nobody else includes it.
 *
 * The pace is one value in the store's meta table: how long answers to single events take on average. Each
 * new one has a quarter of the weight, a probe half of it, and none counts for more than twice
 * report.patience: so three slow ones begin it and two quick probes end it. While answers are quick there is
 * no such value, and nothing is written.
 *
 * Above report.patience, and only while somebody looks after what stays pending (event/event_watch.h), one
 * event is reported by its writer as a probe, the next one three seconds after its answer; all others are
 * left.
 */
#ifndef SENDPOST_EVENT_EVENT_PACE_H
#define SENDPOST_EVENT_EVENT_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "store/store.h"

struct event_pace {
    int64_t average_ms; /* 0: answers are quick */
    int64_t probe_ms;   /* when the next probe is due, by clock_realtime_ms() */
};

/* The key of it in the store, for the caller to free; and what its value says, NULL for none. fingerprint: of
 * the endpoint. */
char *event_pace_name(const char *fingerprint) __attribute__((nonnull, returns_nonnull));
struct event_pace event_pace_parse(const char *value);

struct event_pace event_pace_read(struct store *store, const char *fingerprint) __attribute__((nonnull));

/* Whether an event is left to the agent now. False for a probe, which this makes the caller's. */
bool event_pace_leaves(const struct event_pace *pace, const struct config *config, struct store *store,
                       const char *fingerprint, int64_t now_ms) __attribute__((nonnull));

/* Whether the next event will probably be asked for: answers are quick, or a probe is due. */
bool event_pace_expects(const struct event_pace *pace, const struct config *config, int64_t now_ms)
    __attribute__((nonnull));

/* An event was judged elapsed_ms after it was sent; inside a transaction. */
bool event_pace_learn(const struct event_pace *pace, const struct config *config, struct store *store,
                      const char *fingerprint, int64_t elapsed_ms, struct outcome *error_r)
    __attribute__((nonnull));

#endif
