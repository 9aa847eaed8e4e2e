/*
 * store_salvage: what can still be read of a corrupt state.db is brought into the new one: pending and recent
 * events, retry ladder, suppression list, log position. A part of store; nobody else includes it.
 */
#ifndef SENDPOST_STORE_STORE_SALVAGE_H
#define SENDPOST_STORE_STORE_SALVAGE_H

#include <sqlite3.h>
#include <stdbool.h>

struct store_salvage_result {
    int rows;      /* brought over, by this run */
    bool complete; /* within the time, that is: rows that cannot be read are left out */
};

/*
 * Copy rows of the database at path into the tables of the same name; rows that are there already win. Done
 * again after it was broken off anywhere it goes on. Takes at most two minutes. False when into cannot be
 * written, with SQLite's error on it: then it has to be done again.
 */
bool store_salvage(sqlite3 *into, const char *path, struct store_salvage_result *result_r)
    __attribute__((nonnull));

#endif
