/*
 * hiredis_library: the formatter and the reader of hiredis, loaded when a cluster is configured and not
 * before: a library that each delivery's process would carry for nothing costs it start-up time. The library
 * is looked for under the name that this program was compiled against.
 */
#ifndef SENDPOST_CLUSTER_HIREDIS_LIBRARY_H
#define SENDPOST_CLUSTER_HIREDIS_LIBRARY_H

#include <hiredis/hiredis.h>
#include <stddef.h>

struct hiredis_library {
    int (*format_command)(char **target, int count, const char **words, const size_t *lengths);
    void (*free_command)(char *command);
    redisReader *(*reader_create)(void);
    void (*reader_free)(redisReader *reader);
    int (*reader_feed)(redisReader *reader, const char *bytes, size_t length);
    int (*reader_get_reply)(redisReader *reader, void **reply);
    void (*free_reply)(void *reply);
};

/* NULL with *why_r saying what to install. Loaded once in a process. */
const struct hiredis_library *hiredis_library_load(const char **why_r) __attribute__((nonnull));

#endif
