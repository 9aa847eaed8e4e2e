/*
 * reporter: the thread that sends pending events to the API: those of the log, and whatever the pipe and
 * sendpost-bounce have left. It begins when batch-size new ones have come, or flush-interval after the first,
 * and looks every flush-interval anyway. It has its own connection to the store and to the API.
 */
#ifndef SENDPOST_AGENT_REPORTER_H
#define SENDPOST_AGENT_REPORTER_H

#include "agent/board.h"
#include "config/config.h"

struct reporter;

/* NULL with *error_r set when the store cannot be opened. config and board outlive it. */
struct reporter *reporter_start(const struct config *config, struct board *board, struct outcome *error_r)
    __attribute__((nonnull));

/* Some events were committed. */
void reporter_wake(struct reporter *reporter, uint64_t events) __attribute__((nonnull));

/* Ends a request under way within seconds, and joins the thread. NULL is fine. */
void reporter_stop(struct reporter *reporter);

/* In this thread: report all that is pending now. True when nothing stays pending. */
bool reporter_flush(const struct config *config, struct store *store, struct board *board,
                    struct outcome *error_r) __attribute__((nonnull));

#endif
