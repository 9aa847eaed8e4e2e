/*
 * claim: no two processes work on the same delivery at the same time. When a supervisor is killed its
 * deliverer may live on, and Postfix may hand the message over again meanwhile: the second one must wait for
 * what the first puts on record.
 *
 * A claim is a lock on one byte of STATE_DIR/deliveries.lock, at an offset derived from message UUID, queue
 * id and recipient (fcntl(2), open file description locks): no file per delivery, and nothing is left behind
 * by a death.
 */
#ifndef SENDPOST_DELIVERY_CLAIM_H
#define SENDPOST_DELIVERY_CLAIM_H

#include <stdint.h>

#include "base/outcome.h"

/* 62 bits: two deliveries share an offset by chance only, and then one of them waits in the queue. */
int64_t claim_offset(const char *uuid, const char *queue_id, const char *recipient) __attribute__((nonnull));

/* The descriptor that holds the claim: close it to let go. -1 with *error_r set (4.3.0) when another process
 * has it. */
int claim_take(const char *state_dir, int64_t offset, struct outcome *error_r) __attribute__((nonnull));

/* The same for those to whom it does not matter why. */
int claim_try(const char *state_dir, int64_t offset) __attribute__((nonnull));

#endif
