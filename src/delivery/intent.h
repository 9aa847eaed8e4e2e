/*
 * intent: table intents, a row for each delivery from before its MAIL until its outcome is in the store. That
 * it could be written shows that the store takes records now: where it cannot be, nobody is contacted. What a
 * later run finds of an earlier boot says that the message may have been accepted when the power went.
 *
 * The row costs a transaction and no sync (STORE_NORMAL); see doc/protocol.md for what a power cut makes of
 * it. Inside the caller's transaction, or as one of its own.
 */
#ifndef SENDPOST_DELIVERY_INTENT_H
#define SENDPOST_DELIVERY_INTENT_H

#include "store/store.h"

struct intent {
    int64_t key; /* of queue id, recipient, message UUID and content: delivery_key() */
    const char *queue_id, *recipient, *uuid;
    const char *content; /* size and hash of the bytes on standard input: message_content() */
};

bool intent_write(struct store *store, const struct intent *intent, int64_t boot, int64_t now_ms,
                  struct outcome *error_r) __attribute__((nonnull));

/* 1 with the boot in which it was written, 0 when there is none, -1 with *error_r set. */
int intent_find(struct store *store, int64_t key, int64_t *boot_r, struct outcome *error_r)
    __attribute__((nonnull));

bool intent_remove(struct store *store, int64_t key, struct outcome *error_r) __attribute__((nonnull));

/* Delete a few that belong to messages which are no more in any queue. */
bool intent_sweep(struct store *store, int64_t now_ms, struct outcome *error_r) __attribute__((nonnull));

#endif
