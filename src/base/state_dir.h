/*
 * state_dir: who may open what in the state directory. Everything in it belongs to its owner, the delivery
 * user, and is opened by nobody else: a file that root left there would stop all mail, and a link that the
 * delivery user planted would lead root astray.
 *
 * So a program that root starts becomes the owner before it opens anything there, for good; and whoever opens
 * a file there, by these functions or through a library, follows no symbolic link and takes neither a file
 * that has a second name nor one of another user. Only where the directory is root's own does root stay root.
 *
 * Files have mode 0600, whatever the umask: who can read a file can lock it, too, and mail would wait for him
 * (flock(2), fcntl(2)).
 *
 * Errors are outcomes of our own trouble (4.3.0) that name the file and the command that mends it.
 */
#ifndef SENDPOST_BASE_STATE_DIR_H
#define SENDPOST_BASE_STATE_DIR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/outcome.h"

/*
 * As root, become the owner of the directory for good: user, group and no other groups, as pipe(8) would
 * have it. groups: names of further ones, separated by spaces, that are kept or taken where they exist; NULL
 * for none. Nothing to do, and true, for whoever is not root, and where the directory is root's. Call it
 * before the first thread is started.
 */
bool state_dir_become_owner(const char *directory, const char *groups, struct outcome *error_r)
    __attribute__((nonnull(1, 3)));
/* The same with another group in the place of the user's own: user=NAME:GROUP of pipe(8). */
bool state_dir_become_owner_with(const char *directory, gid_t group, const char *groups,
                                 struct outcome *error_r) __attribute__((nonnull(1, 4)));

/* Whether this process is the owner: nobody else may make a file there. */
bool state_dir_is_ours(const char *directory, struct outcome *error_r) __attribute__((nonnull));

/*
 * open(2) of a regular file at path, which lies in the state directory itself; O_CREAT is done with mode
 * 0600. -1 with *error_r set; errno is then ENOENT where there was no such file, ELOOP where a symbolic link
 * or anything else that is no regular file stands in its place, EPERM for a file that must not be used.
 */
int state_dir_open(const char *path, int flags, struct outcome *error_r) __attribute__((nonnull));

/*
 * The lock of a file that is made where it is missing: close() releases it, and so does the end of its
 * holder. -1 with *error_r set, also when another has it for ten seconds: a holder that is stopped must not
 * stop the mail without a word, as a blocking flock(2) would.
 */
int state_dir_lock(const char *path, struct outcome *error_r) __attribute__((nonnull));

/* The same test for a file that a library opens by its name. A file that is not there passes. */
bool state_dir_check(const char *path, struct outcome *error_r) __attribute__((nonnull));

/* How to make room for a file at path: that of its file system may be spent, or its inodes, which df -h does
 * not show. The caller frees. */
char *state_dir_room(const char *path) __attribute__((nonnull));

/* Whether its file system has no inode left: then even a library that says something else failed for that. */
bool state_dir_lacks_inodes(const char *path) __attribute__((nonnull));

/* errno as an outcome that names path and the remedy. */
void state_dir_error(const char *verb, const char *path, int error, struct outcome *error_r)
    __attribute__((nonnull));

#endif
