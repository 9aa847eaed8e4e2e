#include "base/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/xalloc.h"

#define FILE_MODE 0600
#define GROUPS_MAX 16
#define NAME_SIZE 64
#define LOCK_PATIENCE_MS 10000
#define LOCK_STEP_MS 5

/* --- words ------------------------------------------------------------------------------------ */

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL   ? xstrdup(".")
           : slash == path ? xstrdup("/")
                           : xstrndup(path, (size_t)(slash - path));
}

/* The directory itself, or the one that the file lies in. */
static char *place_of(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? xstrdup(path) : directory_of(path);
}

bool state_dir_lacks_inodes(const char *path)
{
    AUTO_FREE char *place = place_of(path);
    struct statvfs status;

    return statvfs(place, &status) == 0 && status.f_files > 0 && status.f_favail == 0;
}

char *state_dir_room(const char *path)
{
    AUTO_FREE char *place = place_of(path);

    return state_dir_lacks_inodes(path)
               ? xasprintf(
                     "remove files from its file system, which has no inode left for another (df -i %s)",
                     place)
               : xasprintf("free some space on its file system (df -h %s)", place);
}

static char *remedy(const char *path, int error)
{
    AUTO_FREE char *place = place_of(path);

    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return xstrdup("create the directory that state-dir names: install -d -m 0750 -o USER DIRECTORY");
    case EACCES:
    case EPERM:
        return xasprintf("give the state directory to the user that this program runs as: chown -R %ld: %s; "
                         "chmod 0750 %s",
                         (long)geteuid(), place, place);
    case EROFS:
        return xstrdup("mount its file system writable, or name another state-dir");
    case ENOSPC:
    case EDQUOT:
        return state_dir_room(path);
    case EWOULDBLOCK:
        return xstrdup("another process has held it for too long: find it with 'fuser -v' on this file");
    default:
        return xstrdup("check the file system and the kernel log");
    }
}

void state_dir_error(const char *verb, const char *path, int error, struct outcome *error_r)
{
    AUTO_FREE char *mends = remedy(path, error);

    outcome_local(error_r, "4.3.0", "cannot %s %s as user id %ld: %s; %s", verb, path, (long)geteuid(),
                  strerror(error), mends);
}

/* The name of a user, or the number. Only for messages of trouble: the user database may be far away. */
static const char *user_name(uid_t user, char buffer_r[NAME_SIZE])
{
    const struct passwd *entry = getpwuid(user);

    if (entry != NULL)
        snprintf(buffer_r, NAME_SIZE, "%s", entry->pw_name);
    else
        snprintf(buffer_r, NAME_SIZE, "%ld", (long)user);
    return buffer_r;
}

/* --- files ------------------------------------------------------------------------------------ */

static bool may_be_used(const char *path, const struct stat *status, struct outcome *error_r)
{
    char owner[NAME_SIZE], self[NAME_SIZE];

    if (!S_ISREG(status->st_mode))
        outcome_local(error_r, "4.3.0", "%s is %s and no file of ours: look who put it there, and remove it",
                      path, S_ISLNK(status->st_mode) ? "a symbolic link" : "no regular file");
    else if (status->st_nlink > 1)
        outcome_local(error_r, "4.3.0",
                      "%s has another name, which must not be: find it with 'find / -xdev -samefile %s', and "
                      "remove it",
                      path, path);
    else if (status->st_uid != geteuid())
        outcome_local(
            error_r, "4.3.0", "%s belongs to user %s and this program runs as user %s: chown %s: %s", path,
            user_name(status->st_uid, owner), user_name(geteuid(), self), user_name(geteuid(), self), path);
    else
        return true;
    errno = S_ISREG(status->st_mode) ? EPERM : ELOOP;
    return false;
}

bool state_dir_is_ours(const char *directory, struct outcome *error_r)
{
    char owner[NAME_SIZE], self[NAME_SIZE];
    struct stat status;

    if (stat(directory, &status) != 0) {
        int reason = errno;
        state_dir_error("use", directory, reason, error_r);
        errno = reason;
        return false;
    }
    if (status.st_uid == geteuid())
        return true;
    outcome_local(error_r, "4.3.0",
                  "the state directory %s belongs to user %s and this program runs as user %s: run it as the "
                  "owner, or as root, or chown -R %s: %s",
                  directory, user_name(status.st_uid, owner), user_name(geteuid(), self),
                  user_name(geteuid(), self), directory);
    errno = EPERM;
    return false;
}

static int open_as_is(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, FILE_MODE);
}

/* What keeps an open() from its file, in words. errno is kept. */
static void cannot_open(const char *path, struct outcome *error_r)
{
    struct stat status;
    int reason = errno;

    if (lstat(path, &status) != 0 || may_be_used(path, &status, error_r))
        state_dir_error("open", path, reason, error_r);
    errno = reason;
}

int state_dir_open(const char *path, int flags, struct outcome *error_r)
{
    struct stat status;
    int descriptor = open_as_is(path, flags & ~O_CREAT);

    if (descriptor < 0 && errno == ENOENT && (flags & O_CREAT) != 0) {
        AUTO_FREE char *directory = directory_of(path);
        if (!state_dir_is_ours(directory, error_r))
            return -1;
        descriptor = open_as_is(path, flags);
    }
    if (descriptor < 0) {
        cannot_open(path, error_r);
        return -1;
    }
    if (fstat(descriptor, &status) != 0) {
        state_dir_error("look at", path, errno, error_r);
    } else if (may_be_used(path, &status, error_r)) {
        if ((status.st_mode & 07777) != FILE_MODE)
            (void)!fchmod(descriptor, FILE_MODE); /* what keeps us from it keeps others, too */
        return descriptor;
    }
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
}

bool state_dir_check(const char *path, struct outcome *error_r)
{
    struct stat status;

    if (lstat(path, &status) != 0) {
        if (errno == ENOENT)
            return true;
        state_dir_error("look at", path, errno, error_r);
        return false;
    }
    if (!may_be_used(path, &status, error_r))
        return false;
    if ((status.st_mode & 07777) != FILE_MODE)
        (void)!chmod(path, FILE_MODE);
    return true;
}

/* --- the owner -------------------------------------------------------------------------------- */

/* The groups of the owner: his own first, then those of the names that exist. */
static size_t collect_groups(gid_t own, const char *names, gid_t groups_r[GROUPS_MAX])
{
    AUTO_FREE char *copy = xstrdup(names != NULL ? names : "");
    char *rest = copy, *name;
    size_t count = 0;

    groups_r[count++] = own;
    while (count < GROUPS_MAX && (name = strsep(&rest, " ")) != NULL) {
        const struct group *group = *name != '\0' ? getgrnam(name) : NULL;
        if (group != NULL)
            groups_r[count++] = group->gr_gid;
    }
    return count;
}

#define HIS_OWN ((gid_t)-1)

bool state_dir_become_owner(const char *directory, const char *groups, struct outcome *error_r)
{
    return state_dir_become_owner_with(directory, HIS_OWN, groups, error_r);
}

bool state_dir_become_owner_with(const char *directory, gid_t group, const char *groups,
                                 struct outcome *error_r)
{
    gid_t all[GROUPS_MAX];
    struct stat status;
    char name[NAME_SIZE];

    if (geteuid() != 0)
        return true;
    if (stat(directory, &status) != 0) {
        state_dir_error("use", directory, errno, error_r);
        return false;
    }
    if (status.st_uid == 0)
        return true;
    const struct passwd *owner = getpwuid(status.st_uid);
    gid_t own = group != HIS_OWN ? group : owner != NULL ? owner->pw_gid : status.st_gid;
    size_t count = collect_groups(own, groups, all);
    if (setgroups(count, all) == 0 && setresgid(own, own, own) == 0 &&
        setresuid(status.st_uid, status.st_uid, status.st_uid) == 0 && geteuid() == status.st_uid)
        return true;
    int reason = errno;
    outcome_local(error_r, "4.3.0", "cannot become user %s, the owner of %s: %s; run this as that user",
                  user_name(status.st_uid, name), directory, strerror(reason));
    return false;
}

int state_dir_lock(const char *path, struct outcome *error_r)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
    int lock = state_dir_open(path, O_RDWR | O_CREAT, error_r);

    if (lock < 0)
        return -1;
    for (int waited = 0; flock(lock, LOCK_EX | LOCK_NB) != 0; waited += LOCK_STEP_MS) {
        int reason = errno;
        if ((reason != EWOULDBLOCK && reason != EINTR) || waited >= LOCK_PATIENCE_MS) {
            outcome_local(error_r, "4.3.0", "cannot lock %s: %s; see who holds it with fuser -v %s", path,
                          reason == EWOULDBLOCK ? "held by another process for 10 s" : strerror(reason),
                          path);
            close(lock);
            return -1;
        }
        nanosleep(&step, NULL);
    }
    return lock;
}
