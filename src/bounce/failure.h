/*
 * failure: is the address of one failed recipient bad (hard), or did something else fail (soft)?
 *
 * The remote end's own words decide (Diagnostic-Code, or a line with a reply code); where they say nothing,
 * the words of the notice about this recipient; then codes; and where all that says nothing, any words of the
 * notice. Words that come behind are often a footer (virus scanner, confidentiality, policy): they do not
 * outrank a sentence about the recipient that comes before them, nor a Status that says that the address is
 * bad.
 */
#ifndef SENDPOST_BOUNCE_FAILURE_H
#define SENDPOST_BOUNCE_FAILURE_H

#include "bounce/dsn.h"

/* recipient: addresses, remote, status and delayed are set; the rest of the verdict is filled in. diagnostic:
 * without its type,
 * "" when there is none. about: the lines of the notice about this recipient, its own first. */
void failure_judge(const struct classify_rules *rules, struct dsn_recipient *recipient,
                   const char *diagnostic, const char *about) __attribute__((nonnull));

#endif
