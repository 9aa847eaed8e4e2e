/*
 * log_doubt: lines that look like Postfix's and are not understood. A log in a form that we cannot read would
 * otherwise pass for one of a quiet machine: no error, and no event.
 */
#ifndef SENDPOST_AGENT_LOG_DOUBT_H
#define SENDPOST_AGENT_LOG_DOUBT_H

#include <stdbool.h>
#include <stdint.h>

#include "postlog/postfix_log.h"

#define LOG_DOUBT_LINE_SIZE 256
#define LOG_DOUBT_LINES 3 /* in a row, with none understood between them, are trouble */

struct log_doubt {
    uint64_t unread;                /* since the last line that was understood */
    uint64_t quiet;                 /* lines of any kind since then */
    bool understood;                /* one was, ever */
    char line[LOG_DOUBT_LINE_SIZE]; /* the first of those unread, addresses replaced */
};

/* After each line: the text, and what was made of it. Costs next to nothing while lines are understood. */
void log_doubt_look(struct log_doubt *doubt, const struct postfix_log_line *line, const char *text,
                    size_t length) __attribute__((nonnull));

static inline bool log_doubt_is_trouble(const struct log_doubt *doubt)
{
    return doubt->unread >= LOG_DOUBT_LINES;
}

#endif
