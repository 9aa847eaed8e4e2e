/* deliveries_queue: a part of sendpostctl deliveries. */
#ifndef SENDPOST_CTL_DELIVERIES_QUEUE_H
#define SENDPOST_CTL_DELIVERIES_QUEUE_H

#include "store/store.h"

/* Forget deliveries whose message is no more in Postfix's queue. Does nothing where Postfix cannot be asked,
 * or has further instances with queues of their own. */
void deliveries_forget_gone(struct store *store) __attribute__((nonnull));

#endif
