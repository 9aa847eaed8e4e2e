/*
 * cut_disk: a disk for SQLite whose power can be cut at any write or sync, and that fails when told to.
 *
 * It is a VFS (https://www.sqlite.org/vfs.html) over the usual one: what is written goes to the files at
 * once, as it does to the page cache, and is noted. What a file was like at its last sync, and the writes
 * since then, is all that is known of it after a power cut: each of those may have come to the disk or not,
 * in any order, or in part, sector by sector. A file that was never synced may be missing.
 *
 * One at a time, and one thread.
 */
#ifndef SENDPOST_CUT_DISK_H
#define SENDPOST_CUT_DISK_H

#include <stdbool.h>

enum cut_disk_event { CUT_DISK_WRITE, CUT_DISK_SYNC };

/* Make it SQLite's default. before() is called before each write and each sync, and may ask for a power
 * cut, or return false: then it fails. */
void cut_disk_install(bool (*before)(void *context, enum cut_disk_event event), void *context);
/* SQLite's default is the usual one again; what was noted is forgotten. */
void cut_disk_remove(void);

enum cut_disk_fate {
    CUT_DISK_NOTHING, /* of what was not synced is there */
    CUT_DISK_ALL,     /* all of it: the death of a process */
    CUT_DISK_SOME,    /* chance decides */
};

/* What would be found after a power cut now, as files in this directory, which is emptied before. */
void cut_disk_cut(const char *directory, enum cut_disk_fate fate);

/* Open files with the usual VFS for a moment, and with this one again. */
void cut_disk_step_aside(bool aside);

#endif
