/*
 * event_clock: how far the clock of this host is from the event API's, as the Date of its answers tells. Who
 * asks the API puts it into the store when it begins or ceases to matter, and tells the log; who shows how
 * things are finds it there.
 */
#ifndef SENDPOST_EVENT_EVENT_CLOCK_H
#define SENDPOST_EVENT_EVENT_CLOCK_H

#include "store/store.h"

/* How many seconds, "behind" or "ahead of". */
#define EVENT_CLOCK_REMEDY                                                                      \
    "the clock of this host is %lld s %s the event API's, so that events have wrong times and " \
    "certificates may be refused: timedatectl set-ntp true"

enum event_clock { EVENT_CLOCK_UNKNOWN, EVENT_CLOCK_RIGHT, EVENT_CLOCK_WRONG };

/* An answer has just come with this Date (seconds since 1970). known: what this process knows, from
 * EVENT_CLOCK_UNKNOWN on. Outside of transactions; a store that cannot take it is asked again. */
void event_clock_note(struct store *store, int64_t date_s, enum event_clock *known) __attribute__((nonnull));

/* Seconds that our clock is ahead (below 0: behind); 0: it is right, or nobody knows. */
int64_t event_clock_apart_s(struct store *store) __attribute__((nonnull));

#endif
