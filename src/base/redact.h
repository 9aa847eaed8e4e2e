/*
 * redact: a text without the addresses in it, for where somebody may read it who is not to know them. What
 * stands on both sides of an @, or of its form in a URL, %40, is taken for an address; rather too much than
 * too little.
 */
#ifndef SENDPOST_BASE_REDACT_H
#define SENDPOST_BASE_REDACT_H

#include <stddef.h>

/* The text with "…@…" for each address; whole UTF-8 characters, no control characters. The caller frees. */
char *redact_text(const char *text, size_t length) __attribute__((nonnull, returns_nonnull));

/* The same with "user1@domain1.example", "user2@domain1.example" …: the same address has the same number. */
char *redact_numbered(const char *text, size_t length) __attribute__((nonnull, returns_nonnull));

/* A line of Postfix's log: users without a domain in to=<…>, from=<…> and the like go, too. */
char *redact_log_line(const char *line, size_t length) __attribute__((nonnull, returns_nonnull));

#endif
