/*
 * message: the message on standard input becomes a header in memory and a body in memory or, when large, in
 * an unlinked file of the state directory: what a delivery needs of memory does not grow with its message.
 *
 * Line ends become CRLF while reading: LF and CRLF both count as line ends. A CR that is not followed by LF
 * is handled as Postfix's SMTP client handles it; see message_read(). Nothing else is changed.
 */
#ifndef SENDPOST_MESSAGE_H
#define SENDPOST_MESSAGE_H

#include "base/outcome.h"
#include "relay/relay.h"

#define MESSAGE_HEADER_MAX (2u << 20) /* bytes of header section we take; Postfix's own limit is far below \
                                       */

struct message;

/*
 * Read descriptor to its end. limit: largest message in bytes as received, 0 for none; a larger one is read
 * to its end (Postfix would see EPIPE otherwise) and dropped with 5.3.4. NULL with *error_r set on failure.
 */
struct message *message_read(int descriptor, const char *spool_dir, int64_t limit, struct outcome *error_r)
    __attribute__((nonnull));
void message_free(struct message *message); /* NULL is fine */

/* Value of the nth (from 0) header field of that name, unfolded, trimmed; NULL when there is none. The caller
 * frees. */
char *message_header(const struct message *message, const char *name, size_t nth) __attribute__((nonnull));

/* Remove every header field of that name (without regard to case), its continuation lines included. */
void message_remove_header(struct message *message, const char *name) __attribute__((nonnull));

/* Put lines ("Name: value\r\n"…) at the very top. */
void message_prepend(struct message *message, const char *lines) __attribute__((nonnull));

/* The message as it is to be sent; valid until the next change of the message. */
const struct relay_message *message_view(struct message *message) __attribute__((nonnull, returns_nonnull));

#endif
