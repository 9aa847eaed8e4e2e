/*
 * trace_log: lines of Postfix's log that name a word. The log and its predecessor (mail.log.1), of each the
 * last TRACE_LOG_BYTES, or the journal through journalctl(1).
 */
#ifndef SENDPOST_TRACE_TRACE_LOG_H
#define SENDPOST_TRACE_TRACE_LOG_H

#include "postlog/postfix_log.h"

#include <stdint.h>

#define TRACE_LOG_BYTES (256u << 20)

struct trace_log {
    bool journal;
    struct trace_log_piece {
        const char *bytes; /* mapped; NULL: none */
        size_t length;
        int64_t modified_ms;
    } pieces[2]; /* the older one first */
};

/* log_path: of a file, or "journal". False with *why_r, for the caller to free, when it cannot be read. */
bool trace_log_open(struct trace_log *log_r, const char *log_path, char **why_r) __attribute__((nonnull));
void trace_log_close(struct trace_log *log) __attribute__((nonnull));

/*
 * Calls see() with each line of Postfix that holds one of the words, in their order; time_ms is the line's.
 * Stops when see() returns false. False when the journal cannot be asked.
 */
bool trace_log_each(const struct trace_log *log, const char *const words[], size_t count,
                    bool (*see)(void *context, const struct postfix_log_line *line, int64_t time_ms),
                    void *context) __attribute__((nonnull));

#endif
