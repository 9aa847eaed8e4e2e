/*
 * page_tally: what became of mail in the last PAGE_HOURS hours, by hour, provider and TPSP, and the reasons
 * that were most frequent, as the status page shows it.
 *
 * It reads each row of the events table once: new ones as they come, and from where it began back to the
 * beginning of the time, a bounded number in a turn. So the page costs the same however many events there
 * are, and as long as it is not through, it says since when it counts. An event counts for the hour of its
 * time stamp.
 *
 * One thread.
 */
#ifndef SENDPOST_AGENT_PAGE_TALLY_H
#define SENDPOST_AGENT_PAGE_TALLY_H

#include "agent/page_feed.h"
#include "agent/page_store.h"
#include "base/provider_category.h"
#include "config/config.h"
#include "event/event.h"

#define PAGE_HOURS 24
#define PAGE_HOUR_MS INT64_C(3600000)
#define PAGE_REASONS 64 /* told apart at a time */

enum page_fate { PAGE_DELIVERED, PAGE_DEFERRED, PAGE_DROPPED, PAGE_BOUNCED, PAGE_SOFT_BOUNCED, PAGE_FATES };

/* "delivered", "deferred", … */
const char *page_fate_name(enum page_fate fate) __attribute__((returns_nonnull));

struct page_counts {
    uint32_t of[PAGE_FATES];
};

struct page_reason {
    uint64_t key; /* 0: free */
    uint32_t by_hour[PAGE_HOURS];
    struct event example; /* the latest */
};

struct page_tally; /* about 300 KB */

/* config outlives it. */
struct page_tally *page_tally_new(const struct config *config) __attribute__((nonnull, returns_nonnull));

/* One turn, now_ms: clock_realtime_ms(). New events go to the feed as well. True: there is more to do at
 * once. */
bool page_tally_turn(struct page_tally *tally, struct page_store *store, int64_t now_ms,
                     struct page_feed *feed) __attribute__((nonnull));

/* When the oldest hour that is counted begins; *complete_r: it is counted from there, else from a later time.
 */
int64_t page_tally_since(const struct page_tally *tally, bool *complete_r, int64_t *counted_since_r)
    __attribute__((nonnull));

/* Of the nth hour from the oldest, all hours: PAGE_HOURS. provider and tpsp: -1 for all; of TPSPs the number
 * in the configuration, tpsp_count: what none of them did. One of both is -1. */
struct page_counts page_tally_of(const struct page_tally *tally, size_t hour, int provider, int tpsp)
    __attribute__((nonnull));

/* The most frequent reasons for anything but a delivery, as many as there are up to limit; counts_r beside
 * them. They stand until the next turn. */
size_t page_tally_reasons(const struct page_tally *tally, const struct page_reason *reasons_r[],
                          uint32_t counts_r[], size_t limit) __attribute__((nonnull));

#endif
