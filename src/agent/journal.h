/*
 * journal: the mail log in systemd's journal (sd-journal(3)), each entry exactly once: the position is the
 * journal's own cursor. Entries are those of facility mail, and those of journald itself, which say how many
 * messages it has thrown away by its rate limit. One thread.
 *
 * Reading it takes membership in group systemd-journal. Built without libsystemd, journal_open() fails and
 * says so.
 */
#ifndef SENDPOST_AGENT_JOURNAL_H
#define SENDPOST_AGENT_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/outcome.h"
#include "postlog/postfix_log.h"

struct journal;

struct journal_entry { /* valid until the next call */
    struct log_slice tag, host, message;
    int64_t uid; /* who wrote it, as the kernel has told journald; -1: that is not known */
    int64_t time_ms;
};

/* cursor: where to go on, "" or NULL for the end, or for the beginning with from_start. */
struct journal *journal_open(const char *cursor, bool from_start, struct outcome *error_r)
    __attribute__((nonnull(3)));
void journal_close(struct journal *journal); /* NULL is fine */

/* 1: an entry; 0: the end; -1 with *error_r set. */
int journal_next(struct journal *journal, struct journal_entry *entry_r, struct outcome *error_r)
    __attribute__((nonnull));

/* Behind the last entry; for the caller to free. "" before the first one of an empty journal. */
char *journal_cursor(struct journal *journal) __attribute__((nonnull, returns_nonnull));

int journal_descriptor(struct journal *journal) __attribute__((nonnull));
void journal_drain(struct journal *journal) __attribute__((nonnull));

/* "Suppressed 123 messages from postfix.service": the number; 0 for other entries. */
uint64_t journal_suppressed(const struct journal_entry *entry) __attribute__((nonnull));

/* Anybody may send to the journal under any tag; the kernel says who did. Daemons of Postfix write as root or
 * as its own user, -1 when that is not known, the pipe as the user of the deliveries. */
bool journal_is_theirs(const struct journal_entry *entry, uid_t postfix, int64_t own)
    __attribute__((nonnull));

#endif
