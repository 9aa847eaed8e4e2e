/* The directory in which idle deliverers and supervisors meet: idle.h tells of it. */
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

static bool is_alone(int place, uid_t user)
{
    struct stat status;

    if (fstat(place, &status) != 0)
        return false;
    errno = EPERM;
    return status.st_uid == user && (status.st_mode & 077) == 0;
}

int idle_place_open(const char *places, bool make)
{
    char path[PATH_MAX];

    idle_place_path(places, geteuid(), path, sizeof path);
    int place = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0 && errno == ENOENT && make) {
        mkdir(places, 0755);
        mkdir(path, 0700);
        place = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (place < 0 || is_alone(place, geteuid()))
        return place;
    close(place);
    errno = EPERM;
    return -1;
}

/* Others may go through it, whatever the umask of whoever makes it. */
static int open_places(const char *places)
{
    bool made = mkdir(places, 0755) == 0;
    int directory = open(places, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (made && directory >= 0 && fchmod(directory, 0755) < 0) {
        close(directory);
        return -1;
    }
    return directory;
}

/* The directory above may belong to a user who would lead root astray: so by descriptors alone, and what is
 * given away is only what root itself has. */
bool idle_place_make(const char *places, uid_t user, gid_t group)
{
    char name[24];
    bool ready = false;
    int directory = open_places(places);

    if (directory < 0)
        return false;
    snprintf(name, sizeof name, "%lu", (unsigned long)user);
    bool made = mkdirat(directory, name, 0700) == 0;
    int place = made || errno == EEXIST
                    ? openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                    : -1;
    if (place >= 0) {
        ready = (!made || (is_alone(place, geteuid()) && fchown(place, user, group) == 0)) &&
                is_alone(place, user);
        int error = errno;
        close(place);
        errno = error;
    }
    int error = errno;
    close(directory);
    errno = error;
    return ready;
}
