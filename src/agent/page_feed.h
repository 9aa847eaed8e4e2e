/*
 * page_feed: what happens now, as server-sent events (WHATWG HTML, section 9.2): one event of the store as
 * one JSON object, the form that `sendpostctl events --json` has.
 *
 * PAGE_FEED_CLIENTS follow at most. Who reads slower than events come misses some: PAGE_FEED_LINES are kept,
 * and nobody waits for him. A stream ends after PAGE_FEED_LIFE_MS; browsers then ask anew by themselves. Safe
 * in any thread.
 */
#ifndef SENDPOST_AGENT_PAGE_FEED_H
#define SENDPOST_AGENT_PAGE_FEED_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"

#define PAGE_FEED_CLIENTS 8
#define PAGE_FEED_LINES 256
#define PAGE_FEED_LIFE_MS 600000

struct page_feed;

struct page_feed *page_feed_new(void) __attribute__((returns_nonnull));

/* A stream of its own for this connection; NULL: there are as many as may be. */
struct MHD_Response *page_feed_follow(struct page_feed *feed, struct MHD_Connection *connection)
    __attribute__((nonnull));

bool page_feed_is_followed(struct page_feed *feed) __attribute__((nonnull));

void page_feed_add(struct page_feed *feed, const struct event *event, const char *state)
    __attribute__((nonnull));

/* Every second or so: streams that are old end, those that were silent say that they are there. */
void page_feed_tick(struct page_feed *feed) __attribute__((nonnull));

#endif
