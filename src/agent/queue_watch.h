/*
 * queue_watch: what Postfix's queue was when it was last asked, for whoever looks, and asked again while
 * somebody does. Safe in any thread; the asking is done in the one that calls queue_watch_tick().
 */
#ifndef SENDPOST_AGENT_QUEUE_WATCH_H
#define SENDPOST_AGENT_QUEUE_WATCH_H

#include "agent/page_queue.h"

struct queue_watch;

struct queue_watch *queue_watch_new(void) __attribute__((returns_nonnull));

struct page_queue queue_watch_look(struct queue_watch *watch) __attribute__((nonnull));

/* Every second or so; takes seconds where the queue is long. */
void queue_watch_tick(struct queue_watch *watch) __attribute__((nonnull));

#endif
