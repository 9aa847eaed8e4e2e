/*
 * log_files: a log and its rotated predecessors, in the order in which they were written.
 *
 * Predecessors of /var/log/mail.log are the files beside it named mail.log.N, mail.log-DATE and
 * mail.log.DATE, each also with .gz (logrotate(8), savelog(8), "postfix logrotate"); where a file is there
 * plain and compressed the plain one counts, because the other may still be in the making. Higher numbers are
 * older, so are earlier dates.
 */
#ifndef SENDPOST_AGENT_LOG_FILES_H
#define SENDPOST_AGENT_LOG_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "agent/position.h"
#include "base/outcome.h"

struct log_name {
    char *path;
    uint64_t device, inode;
    int64_t modified_ms;
    int64_t number; /* of mail.log.N; -1 with a date, and of the log itself */
    bool live;      /* the log itself, the last one */
};

struct log_names {
    struct log_name *items;
    size_t count;
};

/* A missing directory is an empty list. Looks until two looks agree; false, and an empty list, when they
 * never do: a rotation is at work. */
bool log_names_read(struct log_names *names_r, const char *log_path) __attribute__((nonnull));
void log_names_clear(struct log_names *names) __attribute__((nonnull));

#define LOG_NAMES_NONE (-1)
#define LOG_NAMES_STALE (-2) /* a file has another name by now: read the names again */

/* The file that the position is of: by its beginning and its inode, else by its beginning alone.
 * LOG_NAMES_NONE also for a position in no file yet (head_length 0). */
ptrdiff_t log_names_find(const struct log_names *names, const struct position *position)
    __attribute__((nonnull));

/* One opened file, plain or compressed. */
struct log_file {
    int descriptor; /* -1: closed */
    gzFile compressed;
    struct log_name name;
    int64_t offset; /* of the next byte to read, uncompressed */
};

/* Opens what names[i] is now if it is still that file, at an offset. errno is set when not. */
bool log_file_open(struct log_file *file_r, const struct log_name *name, int64_t offset)
    __attribute__((nonnull));
void log_file_close(struct log_file *file) __attribute__((nonnull));

/* As read(2). */
ptrdiff_t log_file_read(struct log_file *file, char *buffer, size_t size) __attribute__((nonnull));

/*
 * Whether the file still begins as it did: with *length bytes whose hash is *hash (0 bytes: with anything).
 * Both are then those of what it begins with now, up to POSITION_HEAD_SIZE, from the same read.
 */
bool log_file_still(struct log_file *file, uint32_t *length, uint64_t *hash) __attribute__((nonnull));

/* Of a plain file of that size: where the line begins that is being written at its end. */
int64_t log_file_last_line(const struct log_file *file, int64_t size, size_t longest)
    __attribute__((nonnull));

/* What is amiss with a file that cannot be opened, by errno, and what mends it. */
void log_file_error(const char *path, int error, struct outcome *error_r) __attribute__((nonnull));

#endif
