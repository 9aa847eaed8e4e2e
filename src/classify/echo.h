/*
 * echo: a reply of a server before it is matched against rules. What it repeats of the recipient and of the
 * sender becomes one token each, so that no rule ever reads words that somebody's address is made of; other
 * addresses and IP addresses become tokens, too, and URLs and control characters vanish.
 *
 * An address is known in whatever form it is echoed: any case, with or without quotes around the local part,
 * without its sub-address ("+tag"), its domain in the other of the two forms of RFC 5890; also the domain
 * alone, and the local part alone where what stands around it says that it is one: quotes or brackets, "user"
 * or "mailbox" before it, sendmail's dots behind it, or a form that no plain word has.
 */
#ifndef SENDPOST_CLASSIFY_ECHO_H
#define SENDPOST_CLASSIFY_ECHO_H

#include <stddef.h>

/* The two of a delivery; NULL: not known, then any address in the text is taken for it (the recipient first).
 * "" is the null sender. */
struct echo_addresses {
    const char *recipient;
    const char *sender;
};

/*
 * text into out, which has size bytes (at least 1); cut where it does not fit, terminated by NUL. The length
 * is returned. Linear in the length of text for addresses of bounded length.
 */
size_t echo_replace(const struct echo_addresses *addresses, const char *text, size_t length, char *out,
                    size_t size) __attribute__((nonnull));

#endif
