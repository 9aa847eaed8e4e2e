/*
 * page_queue: Postfix's queue as `postqueue -j` lists it (JSON, a message a line), within bounds of time and
 * size: what is longer is counted as far as that goes.
 *
 * postqueue is set-group-id postdrop, which a unit with NoNewPrivileges does not honour; who is in that group
 * already can do without. Where it cannot be asked the queue is not known, and the page says so.
 */
#ifndef SENDPOST_AGENT_PAGE_QUEUE_H
#define SENDPOST_AGENT_PAGE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum page_queue_name {
    PAGE_QUEUE_INCOMING,
    PAGE_QUEUE_ACTIVE,
    PAGE_QUEUE_DEFERRED,
    PAGE_QUEUE_HOLD,
    PAGE_QUEUES
};

const char *page_queue_name_text(enum page_queue_name name) __attribute__((returns_nonnull));

struct page_queue {
    bool known;
    bool whole; /* else there are more than were counted */
    uint64_t messages[PAGE_QUEUES];
    int64_t oldest_ms; /* when the oldest that was counted came, clock_realtime_ms(); 0: none */
    char why[200];     /* it is not known */
};

/* Ends within timeout_ms. text_r: whole lines as they came, PAGE_QUEUE_TEXT bytes at most, for the caller to
 * free; NULL: not wanted. */
#define PAGE_QUEUE_TEXT (4u << 20)
void page_queue_read(struct page_queue *queue_r, int64_t timeout_ms, char **text_r)
    __attribute__((nonnull(1)));

/* A line of postqueue's output, without its end: foreign only in what it says of addresses and reasons. */
void page_queue_count(struct page_queue *queue, const char *line, size_t length) __attribute__((nonnull));

#endif
