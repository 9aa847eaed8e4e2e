/*
 * correlation: which SendPost message a queue id stands for. One entry of 32 bytes for every message in the
 * MTA's queue, so that a million of them fit into 40 MB: the queue id is kept as a 64-bit hash only.
 *
 * A queue id is unique in one Postfix instance on one machine and only while the message lives. So an entry
 * also knows its instance, and remains findable for a minute after the message was removed (lines of a
 * content filter arrive in any order), after which it is dead, as is one of which nothing was heard for ten
 * days, twice Postfix's default maximal_queue_lifetime: of time that was heard to pass (track.h). When the
 * table is full the entry longest silent dies.
 *
 * The table lives in memory and is saved with the position in the log: correlation_save() writes the blocks
 * of entries that were touched since the last time, inside the caller's transaction. If that transaction
 * fails, close the table and load it again.
 *
 * Entries are named by slot numbers, which stay valid until correlation_free(); pointers only until the next
 * correlation_add(). One thread.
 */
#ifndef SENDPOST_AGENT_CORRELATION_H
#define SENDPOST_AGENT_CORRELATION_H

#include <stdbool.h>
#include <stdint.h>

#include "postlog/postfix_log.h"
#include "store/store.h"

/* What told us the UUID: the higher one wins. */
enum correlation_source { SOURCE_NONE, SOURCE_HANDOVER, SOURCE_VERP, SOURCE_HEADER };

enum correlation_flag {
    CORRELATION_REMOVED = 1, /* the message has left the queue */
    CORRELATION_NULL = 2,    /* the null sender's: a bounce, a report */
    CORRELATION_LATE =
        4, /* perhaps made of another message, by a filter or an alias: its UUID may come late */
    CORRELATION_OWN = 8,     /* delivered by sendpost-pipe */
    CORRELATION_NOTES = 16,  /* the ledger holds rows for it */
    CORRELATION_ACTIVE = 32, /* the queue manager has taken it up: cleanup(8) has no more to say of it */
    CORRELATION_TRIED = 64,  /* a delivery agent has said what became of a recipient */
};

struct correlation_entry {
    uint64_t queue; /* hash of the queue id; 0: the slot is free */
    unsigned char uuid[16];
    uint32_t seen_s; /* when it was last heard of, by the caller's clock; of a free slot: the next free one */
    uint16_t instance; /* high byte: the machine; low byte: the instance */
    uint8_t flags;
    /* enum correlation_source; SOURCE_NONE: uuid holds a hash of the client's address, or nothing */
    uint8_t source : 4;
    uint8_t origin : 4; /* enum trust_origin: who handed it in */
};

struct correlation;

#define CORRELATION_LIMIT (UINT32_C(1) << 20)
#define CORRELATION_NONE UINT32_MAX

struct correlation *correlation_open(uint32_t limit) __attribute__((returns_nonnull));
void correlation_close(struct correlation *table); /* NULL is fine */

/* Machine and first component of syslog_name: "postfix/submission" and "postfix" are one instance. */
uint16_t correlation_instance(struct log_slice host, struct log_slice name);

/*
 * The slot, or CORRELATION_NONE. Without exact, an entry of another instance on the same machine will do when
 * this one has none: single services may log under a syslog_name of their own.
 */
uint32_t correlation_find(const struct correlation *table, struct log_slice queue_id, uint16_t instance,
                          bool exact) __attribute__((nonnull));

/* A new entry, or CORRELATION_NONE when the table is full: correlation_next_dead() then names the one that
 * has to go. */
uint32_t correlation_add(struct correlation *table, struct log_slice queue_id, uint16_t instance,
                         uint32_t now_s) __attribute__((nonnull));

/* For writing: the entry counts as touched. */
struct correlation_entry *correlation_entry(struct correlation *table, uint32_t slot)
    __attribute__((nonnull, returns_nonnull));
const struct correlation_entry *correlation_peek(const struct correlation *table, uint32_t slot)
    __attribute__((nonnull, returns_nonnull));

/* The message has left the queue: dead in a minute. */
void correlation_remove(struct correlation *table, uint32_t slot, uint32_t now_s) __attribute__((nonnull));

/* A dead slot, to be freed by the caller, or CORRELATION_NONE. Looks at a few entries only: call it often. */
uint32_t correlation_next_dead(struct correlation *table, uint32_t now_s) __attribute__((nonnull));
void correlation_free(struct correlation *table, uint32_t slot) __attribute__((nonnull));

/* The latest time at which one was heard of; 0: there is none. */
uint32_t correlation_latest(const struct correlation *table) __attribute__((nonnull));

uint32_t correlation_count(const struct correlation *table) __attribute__((nonnull));
uint64_t correlation_evicted(const struct correlation *table) __attribute__((nonnull));

bool correlation_load(struct correlation *table, struct store *store, struct outcome *error_r)
    __attribute__((nonnull));
bool correlation_save(struct correlation *table, struct store *store, struct outcome *error_r)
    __attribute__((nonnull));

/* All of it is to be saved: the store has another file. */
void correlation_touch(struct correlation *table) __attribute__((nonnull));

#endif
