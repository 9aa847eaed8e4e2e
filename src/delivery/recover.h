/*
 * recover: acceptances that are marked (delivery/mark.h) and have not come into the store, with nobody at
 * them any more: the disk was full, or their deliverer died, and the message may never come back. Their
 * events are put on record, by whoever comes first: a deliverer that starts, the agent, `sendpostctl events
 * flush`. It takes the claim of each, so that a delivery of it that is under way is let alone.
 */
#ifndef SENDPOST_DELIVERY_RECOVER_H
#define SENDPOST_DELIVERY_RECOVER_H

#include "config/config.h"
#include "delivery/mark.h"
#include "store/store.h"

/* What the store does not take yet stays marked. */
void recover(const struct config *config, struct store *store, struct mark_table *marks)
    __attribute__((nonnull));

/* The same for those who have no marks of their own, and make none. */
void recover_left(const struct config *config, struct store *store) __attribute__((nonnull));

#endif
