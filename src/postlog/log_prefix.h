/*
 * log_prefix: what stands before the message in a line of a log: time, machine, and the tag of the program
 * that wrote it.
 *
 * The two shapes that nearly every log has are read at full speed:
 *
 *   Nov 23 05:29:37 host postfix/smtp[10]: …                    RFC 3164 section 4.1, also what postlogd
 * writes 2026-11-23T05:29:37.123456+00:00 host postfix/smtp[10]: …   the same with RFC 3339 time
 *
 * and, each with or without "<PRI>", RFC 5424 (section 6). Everything else that is in use goes the slow way,
 * word by word: every stamp of log_stamp.h, none at all, a second prefix behind the first (a log host,
 * Docker, "stdout F"), a word of the level or facility on either side of the tag ("mail.info", "<mail.info>",
 * "[info]",
 * "[ID 197553 mail.info]"), a tag in brackets (metalog), brackets of kubectl and journalctl, colours, no
 * host, no blank behind the tag, no colon.
 *
 * The innermost prefix counts. The tag must be the first on the line: a line of another program stays that
 * program's, whatever it says. Reads nothing beyond the line; no state.
 */
#ifndef SENDPOST_POSTLOG_LOG_PREFIX_H
#define SENDPOST_POSTLOG_LOG_PREFIX_H

#include "postlog/log_cursor.h"

struct log_prefix {
    struct log_slice stamp, host, tag; /* length 0 where there is none; the tag without "[pid]:" */
    const char *slash;                 /* its last one, where that was looked for; else NULL */
};

/* The cursor moves on to the message. False: not a line of Postfix. */
bool log_prefix_take(struct cursor *cursor, struct log_prefix *prefix_r) __attribute__((nonnull));

/* Whether SYSLOG_NAME/PROGRAM is Postfix's: there is a program, or the name alone where the syslog daemon has
 * cut it at the slash. */
bool log_prefix_is_postfix(struct log_slice tag);

#endif
