/*
 * store_release: SQLite lets go of a lock once, and does not look whether that worked. Where the kernel had
 * no memory for it (fcntl(2): ENOLCK), the connection goes on believing that the lock is free while its own
 * table of locks has it taken: the next one who wants it, itself, waits ten seconds and fails with "locking
 * protocol", at every statement. So a release that fails is tried again, for a moment.
 */
#ifndef SENDPOST_STORE_STORE_RELEASE_H
#define SENDPOST_STORE_STORE_RELEASE_H

/* Holds for all files that SQLite opens in this process from now on. Before the first is opened, by one
 * thread. */
void store_release_insist(void);

#endif
