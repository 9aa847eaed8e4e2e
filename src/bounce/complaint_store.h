/*
 * complaint_store: who has complained (bounce/complaint.h), and is believed (bounce/belief.h), goes on the
 * suppression list with the reason "spam complaint": here, and by the journal of the list at the other hosts
 * and at SendPost. The reason takes the place of a weaker one; a complaint that is there keeps its date,
 * and is not counted again: providers send a report twice.
 */
#ifndef SENDPOST_BOUNCE_COMPLAINT_STORE_H
#define SENDPOST_BOUNCE_COMPLAINT_STORE_H

#include "bounce/belief.h"
#include "config/config.h"
#include "store/store.h"

/* All of them in one transaction that survives a power cut; each failure tells whether it changed the list.
 * now_ms: clock_realtime_ms(). */
bool complaint_store(struct store *store, const struct config *config, const struct belief *belief,
                     int64_t now_ms, struct outcome *error_r) __attribute__((nonnull));

#endif
