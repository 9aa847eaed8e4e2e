/*
 * queue_watch: what Postfix's queue was when it was last asked, for whoever looks, and asked again while
 * somebody does. Safe in any thread; the asking is done in the one that calls queue_watch_tick().
 */
#ifndef SENDPOST_AGENT_QUEUE_WATCH_H
#define SENDPOST_AGENT_QUEUE_WATCH_H

#include "agent/page_queue.h"
#include "trace/backlog.h"

struct queue_watch;

/* state_dir: whose retry ladder says what mail waits for; outlives it. */
struct queue_watch *queue_watch_new(const char *state_dir) __attribute__((nonnull, returns_nonnull));

struct page_queue queue_watch_look(struct queue_watch *watch) __attribute__((nonnull));

/* What the mail in it waited for, then. False: that is not known. */
bool queue_watch_backlog(struct queue_watch *watch, struct backlog *backlog_r) __attribute__((nonnull));

/* Every second or so; takes seconds where the queue is long. */
void queue_watch_tick(struct queue_watch *watch) __attribute__((nonnull));

#endif
