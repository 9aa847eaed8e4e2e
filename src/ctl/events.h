/* events: what the files of `sendpostctl events` share. */
#ifndef SENDPOST_CTL_EVENTS_H
#define SENDPOST_CTL_EVENTS_H

#include "ctl/ctl.h"
#include "event/event_store.h"

struct ctl_table *events_table(void) __attribute__((returns_nonnull));

/* for_people: local time and short UUIDs. */
void events_table_row(struct ctl_table *table, const struct event *event, enum event_state state,
                      bool for_people) __attribute__((nonnull));

/* On one line, without its end. */
void events_print_json(const struct event *event, enum event_state state) __attribute__((nonnull));

/* The last `limit` that the filter wants, in their order; 0: all. */
bool events_each_last(struct store *store, const struct event_filter *filter, size_t limit,
                      bool (*see)(void *context, const struct event *event, enum event_state state),
                      void *context, struct outcome *error_r) __attribute__((nonnull(1, 2, 4, 5, 6)));

/* events_follow.c: those, and then others as they come, until it is told to end. */
enum ctl_status events_follow(struct ctl *ctl, const struct event_filter *filter, size_t limit)
    __attribute__((nonnull));

#endif
