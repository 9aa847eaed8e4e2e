/*
 * nearest: "did you mean": which of the known names was meant by one that is not known, a slip of the keys
 * away.
 */
#ifndef SENDPOST_BASE_NEAREST_H
#define SENDPOST_BASE_NEAREST_H

#include <stddef.h>

/* The name among count names that is nearest to what was written; NULL when none is near. */
const char *nearest_name(const char *written, const char *(*name)(const void *context, size_t index),
                         const void *context, size_t count) __attribute__((nonnull(1, 2)));

#endif
