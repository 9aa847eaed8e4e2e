/*
 * message: the message on standard input becomes a header in memory and a body in memory or, when large, in
 * an unlinked file of the state directory: what a delivery needs of memory does not grow with its message.
 *
 * Line ends become CRLF while reading: LF and CRLF both count as line ends, and a missing one at the very end
 * is added. A CR that is not followed by LF becomes a space, as Postfix's cleanup(8) makes it
 * (cleanup_replace_stray_cr_lf): for some servers it ends a line. Nothing else changes: to take NUL bytes out
 * is cleanup(8)'s job (message_strip_characters).
 *
 * The header section ends at the first empty line, or before the first line that can be no header field (RFC
 * 5322 section 2.2).
 *
 * A message belongs to one thread.
 */
#ifndef SENDPOST_DELIVERY_MESSAGE_H
#define SENDPOST_DELIVERY_MESSAGE_H

#include "base/outcome.h"
#include "relay/relay.h"

/* bytes of header section we take; Postfix's own limit is far below */
#define MESSAGE_HEADER_MAX (2u << 20)

struct message;

/*
 * Read descriptor to its end. limit: bytes to keep, 0 for all; what is beyond, or beyond MESSAGE_HEADER_MAX
 * of header, is read (Postfix would see EPIPE otherwise), counted and thrown away: such a message must not be
 * sent. NULL with *error_r set (4.3.0) when it cannot be read or spooled.
 */
struct message *message_read(int descriptor, const char *spool_dir, int64_t limit, struct outcome *error_r)
    __attribute__((nonnull));

/* Bytes as received, line ends as they came. */
uint64_t message_received_size(const struct message *message) __attribute__((nonnull));

uint64_t message_line_ends(const struct message *message) __attribute__((nonnull));

/* "SIZE-HASH" of the bytes as received: two messages are the same one only if it is equal. */
#define MESSAGE_CONTENT_SIZE 64
const char *message_content(const struct message *message) __attribute__((nonnull, returns_nonnull));

/* The header section is larger than MESSAGE_HEADER_MAX and is not complete here. */
bool message_header_overflow(const struct message *message) __attribute__((nonnull));
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
