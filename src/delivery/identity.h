/*
 * identity: the message UUID and the five X-Sendpost-* header fields.
 *
 * The UUID is, in this order: the one given with --uuid; the single well-formed X-Sendpost-Message-UUID that
 * came in; with a queue id, a UUIDv5 of queue id, recipient and the topmost Received field (without one:
 * Message-ID and Date), so that a retry has the same UUID without any state; a random one.
 */
#ifndef SENDPOST_DELIVERY_IDENTITY_H
#define SENDPOST_DELIVERY_IDENTITY_H

#include "base/uuid.h"
#include "config/config.h"
#include "delivery/message.h"

#define IDENTITY_HEADER_UUID "X-Sendpost-Message-UUID"

/* given: --uuid, validated, or "". queue_id: or "". */
void identity_uuid(char uuid_r[UUID_SIZE], const struct message *message, const char *given,
                   const char *queue_id, const char *recipient) __attribute__((nonnull));

/* Replace whatever X-Sendpost-* identity fields came in by ours, at the very top. */
void identity_mark(struct message *message, const char *uuid, const struct config *config,
                   const struct config_tpsp *tpsp) __attribute__((nonnull));

#endif
