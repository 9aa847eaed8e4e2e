/* sendpostctl check: the state directory and the clock. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/state_dir.h"
#include "base/xalloc.h"
#include "ctl/check.h"
#include "ctl/other_user.h"
#include "ctl/suspend_words.h"
#include "delivery/mark.h"
#include "supervisor/idle.h"

#define MEGABYTE ((uint64_t)1 << 20)

struct user_name {
    char text[64];
};

static struct user_name user_name(uid_t uid)
{
    const struct passwd *entry = getpwuid(uid);
    struct user_name name;

    if (entry != NULL)
        snprintf(name.text, sizeof name.text, "%s", entry->pw_name);
    else
        snprintf(name.text, sizeof name.text, "user id %ld", (long)uid);
    return name;
}

static struct user_name delivery_user(const struct check *check)
{
    struct user_name name;

    if (check->user == NULL)
        return user_name(geteuid());
    snprintf(name.text, sizeof name.text, "%s", check->user);
    return name;
}

/* Returns whether what is in it can be looked at. */
static bool look_directory(struct check *check, const char *directory)
{
    const struct user_name name = delivery_user(check);
    const char *user = name.text;
    AUTO_FREE char *create = xasprintf("install -d -o %s -g %s -m 0750 %s", user, user, directory);
    AUTO_FREE char *lasting = other_user_remedy(user, directory);
    AUTO_FREE char *chown_it =
        lasting != NULL ? xstrdup(lasting) : xasprintf("chown -R %s: %s", user, directory);
    AUTO_FREE char *chmod_it = xasprintf("chmod 0750 %s", directory);
    struct stat status;

    if (stat(directory, &status) != 0)
        check_say(check, CHECK_FAILURE, create, "cannot find the state directory %s: %s", directory,
                  strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        check_say(check, CHECK_FAILURE, create, "%s is no directory", directory);
    else if (status.st_uid != geteuid())
        check_say(check, CHECK_FAILURE, chown_it, "%s belongs to %s, but deliveries run as %s", directory,
                  user_name(status.st_uid).text, user);
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

/* --- what is in it --------------------------------------------------------------------------- */

/* Each is opened as a delivery would open it. Returns whether it may be. */
static bool look_file(struct check *check, const char *path)
{
    struct outcome error;
    struct stat status;
    AUTO_FREE char *remove_it = xasprintf("look at it, then: rm %s", path);

    if (lstat(path, &status) != 0)
        return true; /* gone meanwhile */
    if (S_ISDIR(status.st_mode)) {
        AUTO_FREE char *chown_it = xasprintf("chown -R %s: %s", delivery_user(check).text, path);
        if (status.st_uid == geteuid() && access(path, R_OK | W_OK | X_OK) == 0)
            return true;
        check_say(check, CHECK_WARNING, chown_it, "%s belongs to %s and is of no use to deliveries", path,
                  user_name(status.st_uid).text);
        return true;
    }
    AUTO_CLOSE int file = state_dir_open(path, O_RDWR, &error);
    if (file >= 0)
        return true;
    if (errno == ENOENT)
        return true;
    check_say(check, CHECK_FAILURE,
              errno == ELOOP || (S_ISREG(status.st_mode) && status.st_nlink > 1)
                  ? remove_it
                  : "mail is deferred until this is mended",
              "%s", error.text);
    return false;
}

/*
 * Not the database: a descriptor of it that is closed drops the locks that SQLite holds in this process; its
 * other files are opened by SQLite, too, so the store itself tells.
 */
static bool is_of_store(const char *name)
{
    return strncmp(name, "state.db", 8) == 0 && strcmp(name, "state.db.lock") != 0;
}

/* The agent's own socket, which it makes and removes: listen: unix:PATH may lie here. */
static bool is_agents_socket(const struct check *check, const char *path)
{
    const char *listen = check->config->listen;
    struct stat named, found;

    return listen != NULL && strncmp(listen, "unix:", 5) == 0 && lstat(listen + 5, &named) == 0 &&
           lstat(path, &found) == 0 && S_ISSOCK(found.st_mode) && found.st_dev == named.st_dev &&
           found.st_ino == named.st_ino;
}

static bool look_files(struct check *check, const char *directory)
{
    DIR *stream = opendir(directory);
    const struct dirent *entry;
    bool usable = stream != NULL;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_of_store(entry->d_name))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", directory, entry->d_name);
        usable = (is_agents_socket(check, path) || look_file(check, path)) && usable;
    }
    if (stream != NULL)
        closedir(stream);
    return usable;
}

static void look_store(struct check *check, const char *directory)
{
    AUTO_FREE char *path = xasprintf("%s/state.db", directory);
    struct outcome error;
    struct store *store = NULL;
    struct stat status;

    if (lstat(path, &status) != 0)
        check_say(check, CHECK_OK, NULL, "%s is writable; the first delivery will create state.db",
                  directory);
    else if (store_open(&store, directory, &error) && store_begin(store, STORE_NORMAL, &error))
        check_say(check, CHECK_OK, NULL, "%s is writable and its store opens", directory);
    else
        check_say(check, CHECK_FAILURE, "mail is deferred until this is mended", "%s", error.text);
    store_close(store); /* and takes the transaction back */
}

/* What keeps a message from being sent twice when the store cannot take its acceptance. */
static void look_marks(struct check *check, const char *directory)
{
    AUTO_FREE char *path = xasprintf("%s/marks", directory);
    struct outcome error;
    struct stat status;

    if (lstat(path, &status) != 0)
        return; /* the first delivery makes it */
    struct mark_table *marks = mark_table_find(directory, &error);
    int waiting = marks != NULL ? mark_count_accepted(marks) : 0;
    if (marks == NULL && errno == ENOENT)
        check_say(check, CHECK_WARNING, "let no delivery run while it is replaced: see who changed it",
                  "%s is not as this program made it, and the next delivery begins a new one: whether a "
                  "message that was cut off right behind its end was accepted is not known any more",
                  path);
    else if (marks == NULL)
        check_say(check, CHECK_FAILURE, "mail is deferred until this is mended", "%s", error.text);
    else if (waiting > 0)
        check_say(check, CHECK_WARNING, "make room for the store, then: sendpostctl events flush",
                  "%d deliver%s accepted and not on record yet (%s keeps them from being sent again)",
                  waiting, waiting == 1 ? "y is" : "ies are", path);
    mark_table_close(marks);
}

static void look_space(struct check *check, const char *directory)
{
    struct statvfs status;

    if (statvfs(directory, &status) != 0)
        return;
    uint64_t megabytes = (uint64_t)status.f_bavail * status.f_frsize / MEGABYTE;
    enum check_level level = megabytes < 16 ? CHECK_FAILURE : megabytes < 256 ? CHECK_WARNING : CHECK_OK;
    AUTO_FREE char *remedy = xasprintf("make room (df -h %s): without it mail is deferred", directory);
    check_say(check, level, level == CHECK_OK ? NULL : remedy, "%llu MB free for the state directory",
              (unsigned long long)megabytes);
    if (status.f_files > 0 && status.f_favail < 1000)
        check_say(check, CHECK_WARNING, "remove files, or make a file system with more inodes",
                  "only %llu inodes are free for the state directory", (unsigned long long)status.f_favail);
}

/* What became of a store that broke. */
static void look_leftovers(struct check *check, const char *directory)
{
    struct store_leftovers found = store_leftovers(directory);
    AUTO_FREE char *remedy =
        xasprintf("check the disk; 'sqlite3 %s/%s .recover' shows what can still be read; then rm %s/%s*",
                  directory, found.latest, directory, found.latest);

    if (found.unfinished)
        check_say(check, CHECK_FAILURE, "the log says why; mail is deferred until it is done",
                  "the store was corrupt, and what could be read of it is not brought over yet");
    else if (found.count > 0)
        check_say(check, CHECK_WARNING, remedy,
                  "the store was corrupt: %u file%s lie%s aside in %s, the latest %s; events that were "
                  "pending in their unreadable parts are not reported",
                  found.count, found.count == 1 ? "" : "s", found.count == 1 ? "s" : "", directory,
                  found.latest);
}

/* Without it mail flows all the same. */
static void look_place(struct check *check)
{
    char path[PATH_MAX];
    const struct user_name name = delivery_user(check);
    const char *user = name.text;

    idle_place_path(IDLE_PLACES, geteuid(), path, sizeof path);
    AUTO_FREE char *make_it = xasprintf("install -d -m 0700 -o %s %s, and in a file of tmpfiles.d: d %s 0700 "
                                        "%s - -",
                                        user, path, path, user);
    AUTO_FREE char *mend_it = xasprintf("chown %s: %s; chmod 0700 %s", user, path, path);
    AUTO_CLOSE int place = idle_place_open(IDLE_PLACES, false);
    int reason = errno;

    if (place >= 0)
        check_say(check, CHECK_OK, NULL, "deliverers wait for the next message in %s", path);
    else if (reason == ENOENT && access(IDLE_PLACES, W_OK) == 0)
        check_say(check, CHECK_OK, NULL, "the first deliverer will make %s", path);
    else if (reason == ENOENT)
        check_say(check, CHECK_WARNING, make_it,
                  "%s is not there and %s may not make it: each delivery starts a process of its own", path,
                  user);
    else
        check_say(check, CHECK_WARNING, mend_it,
                  "%s is not the directory of %s alone: each delivery starts a process of its own", path,
                  user);
}

static void say_suspended(void *context, const struct suspension_scope *scope, const char *line)
{
    AUTO_FREE char *operand = suspend_words_operand(scope);
    AUTO_FREE char *resume = xasprintf("sendpostctl resume %s", operand);

    check_say(context, CHECK_WARNING, resume, "%s", line);
}

/* Nothing is, where the file of the limits is not there; it is not made for this. */
static void look_suspended(struct check *check)
{
    AUTO_FREE char *path = xasprintf("%s/rates", check->config->state_dir);
    struct rate_table *table;
    struct outcome ignored;

    if (access(path, R_OK) != 0 ||
        !rate_table_open(&table, check->config->state_dir, &rate_clock_system, &ignored))
        return;
    suspend_words_each(check->config, table, say_suspended, check);
    rate_table_close(table);
}

static void look_state(struct check *check)
{
    const char *directory = check->config->state_dir;

    if (!look_directory(check, directory))
        return;
    if (look_files(check, directory))
        look_store(check, directory);
    look_marks(check, directory);
    look_suspended(check);
    look_leftovers(check, directory);
    look_space(check, directory);
    check->subject = "idle deliverers";
    look_place(check);
    check->subject = "state";
}

/* Whoever is root stays root there, and what root makes nobody else can use. */
static void look_at_root(struct check *check)
{
    const char *directory = check->config->state_dir;
    struct stat status;

    if (stat(directory, &status) == 0 && status.st_uid == 0 &&
        (check->user == NULL || strcmp(check->user, "root") == 0))
        check_say(check, CHECK_WARNING, "chown -R to the user that Postfix delivers as (user= in master.cf)",
                  "%s belongs to root, so that all that is done there is done with root's rights", directory);
}

void check_state(struct check *check)
{
    check->subject = "state";
    look_at_root(check);
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
