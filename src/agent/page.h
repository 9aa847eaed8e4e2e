/*
 * page: the status page, gathered and written anew while somebody looks, by a thread of its own. Whoever asks
 * gets what was written last: a thousand requests cost the store no more than one.
 */
#ifndef SENDPOST_AGENT_PAGE_H
#define SENDPOST_AGENT_PAGE_H

#include <stdbool.h>

#include "agent/board.h"
#include "agent/page_feed.h"
#include "agent/queue_watch.h"
#include "config/config.h"

struct page;

/* All outlive it. */
struct page *page_start(const struct config *config, struct board *board, struct queue_watch *queue)
    __attribute__((nonnull, returns_nonnull));

struct page_feed *page_feed_of(struct page *page) __attribute__((nonnull, returns_nonnull));

/* The document; addresses: whether it may name them. query: what is searched for, NULL for nothing. The
 * caller frees. Any thread; waits for a moment where what there is is old. */
char *page_html(struct page *page, bool addresses, const char *query)
    __attribute__((nonnull(1), returns_nonnull));

#endif
