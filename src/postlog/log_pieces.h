/*
 * log_pieces: lines that a container runtime has cut become whole again.
 *
 *   2026-11-23T03:30:52Z stdout P Nov 23 … postfix/smtp[10]: 4c…: to=<c@d.ex    the kubelet's CRI: P is a
 * part, 2026-11-23T03:30:52Z stdout F ample>, relay=…                               F the last one
 *   {"log":"Nov 23 … (16,384 bytes of it)","stream":"stdout",…}                 Docker's json-file: the last
 *   {"log":"… and its end\n","stream":"stdout",…}                               part has the line end
 *
 * CRI-O cuts wherever a read of the pipe ended, so short lines come in pieces, too. Of a line more than
 * LOG_PIECES_MAX bytes are passed over. What waits for its end is part of the position in the log: it is
 * saved and loaded with it. One thread.
 */
#ifndef SENDPOST_POSTLOG_LOG_PIECES_H
#define SENDPOST_POSTLOG_LOG_PIECES_H

#include "postlog/postfix_log.h"
#include "store/store.h"

#define LOG_PIECES_MAX (256u * 1024)

struct log_pieces {
    struct log_piece {
        char *text;
        size_t length, size;
    } streams[2]; /* standard output, standard error */
    bool changed; /* since the last save */
};

void log_pieces_clear(struct log_pieces *pieces) __attribute__((nonnull));

/* A line as it stands in the file. False: it is a part, and waits. Else *line_r is whole; it is valid until
 * the next call. */
bool log_pieces_take(struct log_pieces *pieces, struct log_slice *line_r) __attribute__((nonnull));

/* The same for a text that was unwrapped already: last says whether more of it follows. */
bool log_pieces_join(struct log_pieces *pieces, unsigned stream, bool last, struct log_slice *text_r)
    __attribute__((nonnull));

bool log_pieces_load(struct log_pieces *pieces, struct store *store, struct outcome *error_r)
    __attribute__((nonnull));
/* Nothing is written where nothing has changed. */
bool log_pieces_save(struct log_pieces *pieces, struct store *store, struct outcome *error_r)
    __attribute__((nonnull));

#endif
