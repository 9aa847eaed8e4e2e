/*
 * transport_watch: what Postfix says in its log of transports that cannot be used, and of mail that ours
 * keeps for trouble of our own (configuration, state directory, programs). None of it reaches a deliverer
 * that could put it on record, so that all would look well here while nothing is sent.
 *
 * The last such word counts, until the transport delivers, or has been silent for longer than Postfix lets
 * mail wait between two attempts. Transports other than "sendpost" count only when Postfix cannot start them.
 */
#ifndef SENDPOST_AGENT_TRANSPORT_WATCH_H
#define SENDPOST_AGENT_TRANSPORT_WATCH_H

#include <stdint.h>

#include "postlog/postfix_log.h"

#define TRANSPORT_WATCH_NAME_SIZE 64
#define TRANSPORT_WATCH_TEXT_SIZE 384

struct transport_watch {
    char name[TRANSPORT_WATCH_NAME_SIZE];  /* of the transport; "": none is in trouble */
    char text[TRANSPORT_WATCH_TEXT_SIZE];  /* what, and what mends it; addresses replaced */
    char fatal[TRANSPORT_WATCH_TEXT_SIZE]; /* the last words of a pipe(8) that could not begin */
    int64_t said_ms;
    unsigned deferred; /* in a row by ours, for trouble of our own */
};

/* After each line. now_ms: any clock that does not jump. Costs next to nothing for other lines. */
void transport_watch_look(struct transport_watch *watch, const struct postfix_log_line *line,
                          const char *text, size_t length, int64_t now_ms) __attribute__((nonnull));

/* What is wrong, with its remedy; "": nothing. */
const char *transport_watch_trouble(const struct transport_watch *watch, int64_t now_ms)
    __attribute__((nonnull, returns_nonnull));

#endif
