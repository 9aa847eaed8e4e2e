/*
 * identity: the message UUID and the five X-Sendpost-* header fields.
 *
 * The UUID is, in this order: the one given with --uuid; the single well-formed X-Sendpost-Message-UUID that
 * came in; with a queue id, one derived from queue id, recipient and the topmost Received field (without one:
 * Message-ID and Date), so that a retry has the same UUID without any state; a random one. Those that are
 * made here carry their proof (base/uuid_proof.h).
 */
#ifndef SENDPOST_DELIVERY_IDENTITY_H
#define SENDPOST_DELIVERY_IDENTITY_H

#include "base/uuid.h"
#include "config/config.h"
#include "delivery/message.h"

#define IDENTITY_HEADER_UUID "X-Sendpost-Message-UUID"

/* given: --uuid, validated, or "". queue_id: or "". */
void identity_uuid(char uuid_r[UUID_SIZE], const struct message *message, const char *given,
                   const char *queue_id, const char *recipient, const struct uuid_keys *keys)
    __attribute__((nonnull));

/*
 * The UUID that the same delivery had under an earlier choice of keys: the nth (from 1) key of the file, and
 * at last no key. False when there is no such one. A message that was begun with it is to keep it.
 */
bool identity_earlier(char uuid_r[UUID_SIZE], const struct message *message, const char *given,
                      const char *queue_id, const char *recipient, const struct uuid_keys *keys, size_t nth)
    __attribute__((nonnull));

/* Replace whatever X-Sendpost-* identity fields came in by ours, at the very top. */
void identity_mark(struct message *message, const char *uuid, const struct config *config,
                   const struct config_tpsp *tpsp) __attribute__((nonnull));

#endif
