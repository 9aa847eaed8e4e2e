/*
 * rate_table: a table in shared memory, of which each entry is a handful of 64-bit words that all processes
 * read and change with atomic instructions alone. rate_limit, breaker and pool keep their state in it.
 *
 * An entry is found by open addressing and created at its first use, under a lock. An entry that holds
 * nothing worth keeping gives way when there is no free place for another: the entries of a TPSP that has
 * left the configuration vanish this way. The words of an entry with a window are times (see rate_limit.h); a
 * time that has passed is nothing worth keeping. Of RATE_WINDOW_SCRATCH nothing ever is, of those that
 * are kept what has a first word or a time to come; any other entry is nothing worth keeping while its first
 * word is 0.
 *
 * The file may be truncated, overwritten, replaced or removed at any time: rate_table_ready() then brings a
 * good one, and the entries that were held are void: what is written to them is lost. They can still be
 * touched, until the file is replaced once more, for whoever holds one may call others who call
 * rate_table_ready(). Whoever changed an entry looks again with
 * rate_table_holds(): only if it does, the change counted.
 *
 * A table belongs to one thread; threads and processes share the file, each by a table of its own.
 */
#ifndef SENDPOST_POLICY_RATE_TABLE_H
#define SENDPOST_POLICY_RATE_TABLE_H

#include "policy/rate_file.h"

/* The clock of a table; tests bring their own. boot_id NULL: this machine's. */
struct rate_clock {
    int64_t (*now_ns)(void *context);                    /* never steps; begins again at each boot */
    void (*sleep_until)(void *context, int64_t time_ns); /* may return early */
    void *context;
    const char *boot_id;
};

extern const struct rate_clock rate_clock_system; /* CLOCK_BOOTTIME */

struct rate_table;

/* clock is kept by pointer. False with *error_r set (CAUSE_OURS, 4.3.0). */
bool rate_table_open(struct rate_table **table_r, const char *state_dir, const struct rate_clock *clock,
                     struct outcome *error_r) __attribute__((nonnull));
void rate_table_close(struct rate_table *table); /* NULL is fine */

int64_t rate_table_now(const struct rate_table *table) __attribute__((nonnull));
void rate_table_sleep_until(const struct rate_table *table, int64_t time_ns) __attribute__((nonnull));

/* What an entry is about. */
struct rate_key {
    uint64_t hash;
    int64_t window_ns;           /* 0 or RATE_WINDOW_…: the words are no times */
    char label[RATE_LABEL_SIZE]; /* "primary gmail", cut off where too long: hash has the rest */
};

void rate_key_set(struct rate_key *key_r, const char *name, const char *kind, int64_t window_ns)
    __attribute__((nonnull));

/*
 * Make sure that the mapped file is the one to use, and note that it was used at now. Entries found before
 * are void if rate_table_generation() has changed; no two tables have the same.
 */
bool rate_table_ready(struct rate_table *table, int64_t now, struct outcome *error_r)
    __attribute__((nonnull));
uint64_t rate_table_generation(const struct rate_table *table) __attribute__((nonnull));

/* The entry; NULL when there is none (find), or with *error_r set when none can be made (obtain). */
struct rate_entry *rate_table_find(struct rate_table *table, const struct rate_key *key)
    __attribute__((nonnull));
struct rate_entry *rate_table_obtain(struct rate_table *table, const struct rate_key *key,
                                     struct outcome *error_r) __attribute__((nonnull));

/* Whether entry still belongs to key, in the file that is to be used. */
bool rate_table_holds(const struct rate_table *table, const struct rate_entry *entry,
                      const struct rate_key *key) __attribute__((nonnull));

/* Whether the file is still the one to use; otherwise a failure says nothing, and rate_table_ready()
 * helps. */
bool rate_table_intact(const struct rate_table *table) __attribute__((nonnull));

/*
 * A stamp of what is in entries that are kept: 0 as long as there are none. Who looked at some of them
 * and found nothing need not look again while it is the same: cheaper than to look. Who puts something there
 * says so afterwards.
 */
uint64_t rate_table_kept_stamp(const struct rate_table *table) __attribute__((nonnull));
void rate_table_kept_changed(const struct rate_table *table) __attribute__((nonnull));

/* Write the entry to the disk before returning. */
void rate_table_sync(const struct rate_entry *entry) __attribute__((nonnull));
/* All of the file. False with *error_r set: the power may take it back. */
bool rate_table_flush(const struct rate_table *table, struct outcome *error_r) __attribute__((nonnull));

#endif
