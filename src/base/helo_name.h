/*
 * helo_name: what a client may call itself in EHLO and HELO (RFC 5321 section 4.1.1.1 with 4.1.2 and 4.1.3).
 */
#ifndef SENDPOST_BASE_HELO_NAME_H
#define SENDPOST_BASE_HELO_NAME_H

#include <stdbool.h>

/*
 * Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str], or an address literal in brackets.
 * So no empty label, no '-' at the end of one, no '_', no dot at the end; one label alone is a Domain, too.
 */
bool helo_name_valid(const char *name) __attribute__((nonnull));

/*
 * Whether a host's own name is one by which others can know it: valid, of two labels at least, and not of
 * this machine or network alone ("localhost.localdomain", "x.local").
 */
bool helo_name_is_public(const char *name) __attribute__((nonnull));

#define HELO_NAME_SIZE 256

/* The name of this host, as gethostname(2) has it; whether it is public. */
bool helo_name_of_host(char name_r[HELO_NAME_SIZE]) __attribute__((nonnull));

#endif
