/*
 * store_salvage: what can still be read of a corrupt state.db is brought into the new one: pending and recent
 * events, retry ladder, suppression list, log position. A part of store; nobody else includes it.
 */
#ifndef SENDPOST_STORE_STORE_SALVAGE_H
#define SENDPOST_STORE_STORE_SALVAGE_H

#include <sqlite3.h>

/* Copy rows of the database at path into the tables of the same name; rows that are there already win. Takes
 * at most 20 seconds. Returns how many were copied; whatever goes wrong only makes them fewer. */
int store_salvage(sqlite3 *into, const char *path) __attribute__((nonnull));

#endif
