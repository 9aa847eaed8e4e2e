/* top_queue: what Postfix's queue waits for, of the text of `postqueue -j` (JSON, a message a line). */
#ifndef SENDPOST_CTL_TOP_QUEUE_H
#define SENDPOST_CTL_TOP_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum top_wait {
    TOP_WAIT_RATE,      /* over a rate, all connections in use, paused because it was asked for */
    TOP_WAIT_SUSPENDED, /* by hand */
    TOP_WAIT_ALONE,     /* its TPSP is left alone after failures */
    TOP_WAIT_LADDER,    /* its next attempt is not due */
    TOP_WAIT_OTHER,
    TOP_WAITS
};

const char *top_wait_name(enum top_wait wait) __attribute__((returns_nonnull));

struct top_queue {
    bool known;
    uint64_t moving; /* incoming and active */
    uint64_t hold;   /* postsuper -h */
    uint64_t deferred, waits[TOP_WAITS];
    int64_t oldest_s; /* when the oldest that is deferred came, time(2); 0: none */
};

void top_queue_count(struct top_queue *queue_r, const char *text) __attribute__((nonnull));

#endif
