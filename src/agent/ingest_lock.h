/*
 * ingest_lock: one process at a time follows the log with a state directory. The place in the log and the
 * table of correlations are held in memory and saved: two would save over each other.
 */
#ifndef SENDPOST_AGENT_INGEST_LOCK_H
#define SENDPOST_AGENT_INGEST_LOCK_H

#include "base/outcome.h"

/* The descriptor that holds it, for the caller to close; -1 with *error_r set. One that is just ending, as at
 * a restart, is waited for. */
int ingest_lock(const char *state_dir, struct outcome *error_r) __attribute__((nonnull));

#endif
