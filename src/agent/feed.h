/*
 * feed: what the log of an MTA of ours says of messages that it could not pass on is what the provider there
 * says of how we send: slow_down hears it. Only lines of messages that are ours, and no older than some
 * minutes; what it needs is opened when the first of them comes.
 */
#ifndef SENDPOST_AGENT_FEED_H
#define SENDPOST_AGENT_FEED_H

#include "config/config.h"
#include "event/event.h"
#include "store/store.h"

struct feed;

/* config and store outlive it. */
struct feed *feed_open(const struct config *config, struct store *store)
    __attribute__((nonnull, returns_nonnull));
void feed_close(struct feed *feed); /* NULL is fine */

/* A deferral or bounce as an event of the log, kept until it is known whether its line counts; now_ms:
 * clock_realtime_ms(). Failing, it says nothing. */
void feed_event(struct feed *feed, const struct event *event, int64_t now_ms) __attribute__((nonnull));

/* The lines are committed: slow_down hears what was kept. */
void feed_tell(struct feed *feed, int64_t now_ms) __attribute__((nonnull));

/* They are taken back, and will be read again. */
void feed_forget(struct feed *feed) __attribute__((nonnull));

#endif
