/*
 * xalloc: allocation that does not return NULL, and cleanup attributes. Out of memory ends the process with
 * status 75 (EX_TEMPFAIL), which every caller of our programs, Postfix first, takes as "try again later".
 */
#ifndef SENDPOST_BASE_XALLOC_H
#define SENDPOST_BASE_XALLOC_H

#include <stddef.h>
#include <stdio.h>

/* For where a library has found that there is none. */
void xalloc_fail(void) __attribute__((noreturn));

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *pointer, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *string) __attribute__((malloc, returns_nonnull, nonnull));
char *xstrndup(const char *string, size_t length) __attribute__((malloc, returns_nonnull, nonnull));
char *xasprintf(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2), nonnull));

/* free() and set to NULL, after overwriting the string: for secrets. */
void secret_free(char **secret) __attribute__((nonnull));

void cleanup_free(void *pointer_to_pointer);
void cleanup_close(int *descriptor);
void cleanup_fclose(FILE **stream);
#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
#define AUTO_CLOSE __attribute__((cleanup(cleanup_close))) /* closes when >= 0 */
#define AUTO_FCLOSE __attribute__((cleanup(cleanup_fclose)))

#endif
