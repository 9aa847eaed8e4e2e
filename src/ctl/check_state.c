/* sendpostctl check: the state directory and the clock. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "ctl/check.h"

#define MEGABYTE ((uint64_t)1 << 20)

static const char *user_name(uid_t uid)
{
    const struct passwd *entry = getpwuid(uid);

    return entry != NULL ? entry->pw_name : "nobody that is known";
}

static const char *delivery_user(const struct check *check)
{
    return check->user != NULL ? check->user : user_name(geteuid());
}

/* Returns whether the store can be looked at. */
static bool look_directory(struct check *check, const char *directory)
{
    const char *user = delivery_user(check);
    AUTO_FREE char *create = xasprintf("install -d -o %s -g %s -m 0750 %s", user, user, directory);
    AUTO_FREE char *chown_it = xasprintf("chown -R %s: %s", user, directory);
    AUTO_FREE char *chmod_it = xasprintf("chmod 0750 %s", directory);
    struct stat status;

    if (stat(directory, &status) != 0)
        check_say(check, CHECK_FAILURE, create, "cannot find the state directory %s: %s", directory,
                  strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        check_say(check, CHECK_FAILURE, create, "%s is no directory", directory);
    else if (status.st_uid != geteuid())
        check_say(check, CHECK_FAILURE, chown_it, "%s belongs to %s, but deliveries run as %s", directory,
                  user_name(status.st_uid), user);
    else if ((status.st_mode & 07) != 0)
        check_say(check, CHECK_FAILURE, chmod_it, "%s is open to others (mode %04o)", directory,
                  (unsigned)status.st_mode & 07777);
    else if (access(directory, R_OK | W_OK | X_OK) != 0)
        check_say(check, CHECK_FAILURE,
                  errno == EROFS ? "mount it for writing, or name another state-dir" : chmod_it,
                  "%s cannot be written by %s: %s", directory, user, strerror(errno));
    else
        return true;
    return false;
}

static void look_space(struct check *check, const char *directory)
{
    struct statvfs status;

    if (statvfs(directory, &status) != 0)
        return;
    uint64_t megabytes = (uint64_t)status.f_bavail * status.f_frsize / MEGABYTE;
    enum check_level level = megabytes < 16 ? CHECK_FAILURE : megabytes < 256 ? CHECK_WARNING : CHECK_OK;
    check_say(check, level, level == CHECK_OK ? NULL : "make room: without it mail is deferred",
              "%llu MB free for the state directory", (unsigned long long)megabytes);
    if (status.f_files > 0 && status.f_favail < 1000)
        check_say(check, CHECK_WARNING, "remove files, or make a file system with more inodes",
                  "only %llu inodes are free for the state directory", (unsigned long long)status.f_favail);
}

static void look_state(struct check *check)
{
    const char *directory = check->config->state_dir;
    AUTO_FREE char *path = xasprintf("%s/state.db", directory);
    struct outcome error;
    struct store *store = NULL;

    if (!look_directory(check, directory))
        return;
    if (access(path, F_OK) != 0)
        check_say(check, CHECK_OK, NULL, "%s is writable; the first delivery will create state.db",
                  directory);
    else if (store_open(&store, directory, &error))
        check_say(check, CHECK_OK, NULL, "%s is writable and its store opens", directory);
    else
        check_say(check, CHECK_FAILURE, "mail is deferred until this is mended", "%s", error.text);
    store_close(store);
    look_space(check, directory);
}

void check_state(struct check *check)
{
    check->subject = "state";
    check_as_user(check, look_state);
}

void check_clock(struct check *check)
{
    struct timex state = {.modes = 0};
    time_t now = time(NULL);

    check->subject = "clock";
    if (now < 1735689600) /* 2025-01-01: before this program was written */
        check_say(check, CHECK_FAILURE, "set the clock, and run chrony or systemd-timesyncd",
                  "is years behind: certificates will be refused, events have wrong times");
    else if (adjtimex(&state) < 0)
        check_say(check, CHECK_OK, NULL, "is plausible (whether it is synchronised cannot be seen here)");
    else if ((state.status & STA_UNSYNC) != 0)
        check_say(check, CHECK_WARNING,
                  "run chrony or systemd-timesyncd, unless the host keeps the time of this machine",
                  "is not synchronised: events may carry wrong times");
    else
        check_say(check, CHECK_OK, NULL, "is synchronised");
}
