/* The meeting place of idle deliverers and those who call them: idle.h tells of it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/idle.h"

void idle_place_path(const char *places, uid_t user, char *path_r, size_t size)
{
    snprintf(path_r, size, "%s/%lu", places, (unsigned long)user);
}

int idle_place_open(const char *places, bool make)
{
    char path[PATH_MAX];
    struct stat status;

    idle_place_path(places, geteuid(), path, sizeof path);
    int place = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0 && errno == ENOENT && make) {
        mkdir(places, 0755);
        mkdir(path, 0700);
        place = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (place < 0 ||
        (fstat(place, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 077) == 0))
        return place;
    close(place);
    errno = EPERM;
    return -1;
}
