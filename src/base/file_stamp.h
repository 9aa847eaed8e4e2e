/*
 * file_stamp: which version of a file it is that was read. It changes whenever the file is written, replaced
 * by another, or has its owner or mode changed. Needs the C library alone.
 */
#ifndef SENDPOST_BASE_FILE_STAMP_H
#define SENDPOST_BASE_FILE_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct file_stamp {
    uint64_t device, inode, size;
    int64_t modified_ns, changed_ns;
};

struct file_stamp file_stamp_from(const struct stat *status) __attribute__((nonnull));

/* Of the file that path names now; false when it cannot be seen. */
bool file_stamp_of(const char *path, struct file_stamp *stamp_r) __attribute__((nonnull));

/* Whether path still names that version. A stamp of zeros stands for a file that is not there. */
bool file_stamp_current(const char *path, const struct file_stamp *stamp) __attribute__((nonnull));

#endif
