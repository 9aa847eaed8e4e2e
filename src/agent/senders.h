/*
 * senders: the envelope senders of the messages that became active last, for the events' sender. A cache of
 * fixed size in memory alone: one that has been displaced, or was before this process, is not known, and the
 * event goes without.
 */
#ifndef SENDPOST_AGENT_SENDERS_H
#define SENDPOST_AGENT_SENDERS_H

#include <stdint.h>

#include "postlog/postfix_log.h"

#define SENDERS_COUNT 4096u /* a power of two */
#define SENDERS_SIZE 248    /* longer ones are not kept */

struct senders {
    struct {
        uint64_t key;
        uint16_t length;
        char address[SENDERS_SIZE];
    } places[SENDERS_COUNT];
};

void senders_put(struct senders *senders, uint64_t key, struct log_slice sender) __attribute__((nonnull));

/* Points into the cache; length 0 when it is not known. */
struct log_slice senders_get(const struct senders *senders, uint64_t key) __attribute__((nonnull));

#endif
