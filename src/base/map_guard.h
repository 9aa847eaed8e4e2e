/*
 * map_guard: a file mapping that somebody may truncate under our feet without killing us.
 *
 * Touching a mapped page that lies beyond the end of its file raises SIGBUS (mmap(2)). While a mapping is
 * guarded, the first such signal replaces the whole mapping by anonymous zero pages, and the program goes on.
 * The owner recognises the loss by what it reads: keep a magic number in the mapping, look at it before and
 * after use.
 *
 * The handler is installed with the first mapping and passes every SIGBUS that is not ours to the one before
 * it. All functions are safe in any thread.
 */
#ifndef SENDPOST_BASE_MAP_GUARD_H
#define SENDPOST_BASE_MAP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#define MAP_GUARD_MAX 64 /* mappings guarded at a time */

/* base: as mmap() returned it. False when there are MAP_GUARD_MAX already: the mapping is then unguarded. */
bool map_guard_add(void *base, size_t length) __attribute__((nonnull));

/* Before munmap(). */
void map_guard_remove(void *base) __attribute__((nonnull));

#endif
