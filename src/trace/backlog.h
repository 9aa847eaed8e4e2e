/*
 * backlog: Postfix's queue by what mail waits for. Postfix knows only that we, or somebody else, said
 * "later"; what for is known from the retry ladder (policy/retry.h) and from our own words that it has kept.
 */
#ifndef SENDPOST_TRACE_BACKLOG_H
#define SENDPOST_TRACE_BACKLOG_H

#include "store/store.h"

enum backlog_wait {
    BACKLOG_MOVING,    /* it is being delivered, or has just come */
    BACKLOG_RATE,      /* a limit, a pause, a connection */
    BACKLOG_SUSPENDED, /* what a person has suspended (policy/suspension.h) */
    BACKLOG_ALONE,     /* a TPSP that is left alone after failures (policy/breaker.h) */
    BACKLOG_ATTEMPT,   /* the next attempt of the retry ladder */
    BACKLOG_HELD,      /* trouble that is not its own (policy/standing.h) */
    BACKLOG_STOPPED,   /* somebody has put it on hold (postsuper -h) */
    BACKLOG_OTHER,     /* as the reasons say */
    BACKLOG_WAITS
};

/* "moving", "rate", …: the words of JSON. */
const char *backlog_wait_name(enum backlog_wait wait) __attribute__((returns_nonnull));

/* "waits for a rate", "wait for a rate": what count of them do, for people. */
const char *backlog_wait_text(enum backlog_wait wait, uint64_t count) __attribute__((returns_nonnull));

#define BACKLOG_REASONS 32 /* told apart at a time */

struct backlog_reason {
    char text[200]; /* the first that was seen of its kind: they differ in numbers and addresses */
    uint64_t key, count;
};

struct backlog {
    bool complete; /* else there are more than were looked at */
    uint64_t messages;
    uint64_t recipients[BACKLOG_WAITS]; /* those that a message still waits for */
    int64_t oldest_ms, next_ms;         /* when the oldest came, when the first attempt is due; 0: none */
    struct backlog_reason reasons[BACKLOG_REASONS]; /* of BACKLOG_OTHER, the most frequent first */
    size_t reason_count;
};

/*
 * store: NULL where it cannot be read, so that the ladder is not known.
 * queue: what "postqueue -j" printed, a message a line; all of it: whole. What is not looked at by until_ms
 * (clock_monotonic_ms()) is left out. False with *error_r set when the store cannot tell.
 */
bool backlog_read(struct backlog *backlog_r, struct store *store, const char *queue, bool whole,
                  int64_t until_ms, struct outcome *error_r) __attribute__((nonnull(1, 3, 6)));

#endif
