/*
 * event_gzip: a body in the gzip format (RFC 1952), for those who send events in batches. Nobody else links
 * zlib: hand the function to event_reporter_open().
 */
#ifndef SENDPOST_EVENT_EVENT_GZIP_H
#define SENDPOST_EVENT_EVENT_GZIP_H

#include <stddef.h>

/* malloc'd, *packed_length_r long; NULL when it fails, or would not be smaller. */
char *event_gzip(const char *body, size_t length, size_t *packed_length_r) __attribute__((nonnull));

#endif
