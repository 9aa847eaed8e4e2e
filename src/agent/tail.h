/*
 * tail: the lines of a log file, each exactly once and in order, across rotation by rename and by
 * copytruncate, a log that appears later, and predecessors (also compressed) written while nobody was
 * reading.
 *
 * A piece is a run of whole lines. tail_read() hands one out; when everything that follows from it is
 * committed together with tail_position(), tail_advance() steps behind it. Whoever dies in between reads the
 * same piece again.
 *
 * The file that is being read is left when the log has a new file with something in it: until then the writer
 * may still hold the old one. A last line without its end belongs to a file only when that file is finished.
 * Lines longer than TAIL_LINE_MAX, which no syslog daemon writes, are passed over. One thread.
 */
#ifndef SENDPOST_AGENT_TAIL_H
#define SENDPOST_AGENT_TAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/log_files.h"
#include "agent/position.h"
#include "base/outcome.h"

#define TAIL_PIECE_MAX (512u * 1024)
#define TAIL_LINE_MAX TAIL_PIECE_MAX

struct tail;

enum tail_result {
    TAIL_PIECE,   /* *piece_r, *length_r; each line ends with a newline, but perhaps the last */
    TAIL_IDLE,    /* nothing new */
    TAIL_TROUBLE, /* the log cannot be read: *error_r says why; try again later */
};

/* start: where to go on, copied; NULL to begin at the end of the log, or at its top with from_start. */
struct tail *tail_open(const char *path, const struct position *start, bool from_start)
    __attribute__((nonnull(1), returns_nonnull));
void tail_close(struct tail *tail); /* NULL is fine */

enum tail_result tail_read(struct tail *tail, const char **piece_r, size_t *length_r, struct outcome *error_r)
    __attribute__((nonnull));

/* Behind the piece handed out, or where tail_read() would go on; valid until the next call. last_ms is the
 * caller's. */
const struct position *tail_position(struct tail *tail) __attribute__((nonnull, returns_nonnull));
void tail_advance(struct tail *tail) __attribute__((nonnull));

/* Readable when the log may have grown or been rotated; -1 when the kernel gives us no watch: look every
 * second. */
int tail_descriptor(const struct tail *tail) __attribute__((nonnull));
void tail_drain(struct tail *tail) __attribute__((nonnull));

/* Bytes of the current file still to be read, and when the log was last written; for lag and progress. */
struct tail_lag {
    int64_t offset, size;
    int64_t modified_ms;
    const char *path; /* of the file being read; NULL: there is none */
};
struct tail_lag tail_lag(const struct tail *tail) __attribute__((nonnull));

#endif
