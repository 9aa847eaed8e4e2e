/*
 * event_watch: whether somebody looks after the events that stay pending: an agent that runs, and has lately
 * got its events to the API or found none. It holds a lock on agent.lock in the state directory
 * (F_OFD_SETLK), which ends with it; the time of the file is when it last succeeded.
 */
#ifndef SENDPOST_EVENT_EVENT_WATCH_H
#define SENDPOST_EVENT_EVENT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

/* The agent's watch begins, and ends when the descriptor is closed. -1: another one has it, or with
 * *error_r set to why not. */
int event_watch_begin(const char *state_dir, struct outcome *error_r) __attribute__((nonnull));
void event_watch_succeeded(int watch);

/* Whether there is an agent that succeeded within the last minute. */
bool event_watch_is_kept(const char *state_dir, int64_t now_ms) __attribute__((nonnull));

#endif
