/*
 * header_shape: whether libESMTP 1.1.0 would pass a header section on as it is. It adds Date, From and
 * Message-Id where they are missing, drops the second of several fields that it thinks may come once, and
 * drops some fields altogether; none of that can be switched off. Such messages go through the other engine.
 *
 * Pure, bounded by length, no allocation. Should it err, the content check (content.h) still catches the
 * change.
 */
#ifndef SENDPOST_RELAY_HEADER_SHAPE_H
#define SENDPOST_RELAY_HEADER_SHAPE_H

#include <stddef.h>

/* What libESMTP would change, in words (a constant string); NULL: nothing. */
const char *header_shape_trouble(const char *header, size_t length) __attribute__((nonnull));

#endif
