/*
 * position: how far the log has been read, as kept in the store.
 *
 * A file is known by what it begins with rather than by its name or inode: logrotate renames it, or copies it
 * and truncates the original, and compresses it days later. The offset counts uncompressed bytes and is
 * always the beginning of a line.
 */
#ifndef SENDPOST_AGENT_POSITION_H
#define SENDPOST_AGENT_POSITION_H

#include <stdint.h>

#include "store/store.h"

#define POSITION_HEAD_SIZE 1024

struct position {
    char *path; /* the configured log-path; "journal" for the journal */
    uint64_t device, inode;
    int64_t offset;
    uint32_t head_length; /* how many bytes of the beginning head_hash is of, at most POSITION_HEAD_SIZE */
    uint64_t head_hash;
    int64_t modified_ms; /* when the file was last written, as far as we have read it */
    int64_t last_ms;     /* the time stamp of the last line */
    char *cursor;        /* of the journal, sd_journal_get_cursor(3) */
};

void position_clear(struct position *position) __attribute__((nonnull));
/* For the caller to clear. */
void position_copy(struct position *copy_r, const struct position *position) __attribute__((nonnull));

/* 1: loaded, for the caller to clear; 0: there is none for this path; -1 with *error_r set. */
int position_load(struct position *position_r, const char *path, struct store *store, struct outcome *error_r)
    __attribute__((nonnull));
bool position_save(const struct position *position, struct store *store, struct outcome *error_r)
    __attribute__((nonnull));

#endif
