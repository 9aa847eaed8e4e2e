#include "base/file_stamp.h"

#include <string.h>

static int64_t nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

struct file_stamp file_stamp_from(const struct stat *status)
{
    return (struct file_stamp){.device = status->st_dev,
                               .inode = status->st_ino,
                               .size = (uint64_t)status->st_size,
                               .modified_ns = nanoseconds(&status->st_mtim),
                               .changed_ns = nanoseconds(&status->st_ctim)};
}

bool file_stamp_of(const char *path, struct file_stamp *stamp_r)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return false;
    *stamp_r = file_stamp_from(&status);
    return true;
}

bool file_stamp_current(const char *path, const struct file_stamp *stamp)
{
    struct file_stamp now;

    if (stamp->device == 0 && stamp->inode == 0)
        return !file_stamp_of(path, &now);
    /* no padding: 64-bit fields all */
    return file_stamp_of(path, &now) && memcmp(&now, stamp, sizeof now) == 0;
}
