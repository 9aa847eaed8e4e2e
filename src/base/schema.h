/*
 * schema: the tables of state.db, as one list of migrations. PRAGMA user_version counts how many of them a
 * file has been through; store_open() runs the missing ones in one transaction.
 *
 * To add tables, append one string to the list in schema.c: that is the only place. A string that has been
 * released is never changed again. Migrations only add (tables, indexes, columns with a default): after a
 * package upgrade an agent of the old version works on the new file until it is restarted.
 */
#ifndef SENDPOST_SCHEMA_H
#define SENDPOST_SCHEMA_H

extern const char *const schema_migrations[];

/* How many there are: the user_version of an up-to-date file. */
extern const int schema_version;

#endif
