/*
 * patience: when a supervisor that waits for a deliverer (supervisor/idle.h) had better start one. Needs the
 * C library alone.
 *
 * A start takes some milliseconds of a processor, and what it starts is worth them only where processors have
 * room: where all are taken it takes from those who will be idle soon. So:
 *
 *  - One of those who wait asks for all. It starts one when no more processes want to run than there are
 * processors, as it asks first. That is true for a moment now and then on a machine that has no room at all;
 * so after that it goes by what was idle while it asked, and by turns, so that all starts together take no
 * more than the processors.
 *  - Nobody waits for more than PATIENCE_MOST_MS, whatever else the machine does.
 */
#ifndef SENDPOST_SUPERVISOR_PATIENCE_H
#define SENDPOST_SUPERVISOR_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/idle.h"

#define PATIENCE_MOST_MS 2000
#define PATIENCE_START_MS 20 /* of a processor, for a start, about */

struct patience {
    int place;
    int64_t idle_ms;  /* processors_idle_ms() when it was asked first; -1 before */
    int64_t since_ms; /* of the wait: when that was */
};

/* Before it is asked first. */
#define PATIENCE_BEGIN(meeting_place)           \
    {                                           \
        .place = (meeting_place), .idle_ms = -1 \
    }

/* For struct idle_caller: the context is the patience. */
bool patience_is_over(void *context, const struct idle_wait *wait) __attribute__((nonnull));

/* One is started now: who comes next may wait for it, and has to wait for its own turn. */
void patience_tell_start(int place);

/* Whether processors had room: of so many an eighth was idle during this time, and what the clock of
 * processors_idle_ms() does not tell, besides. */
bool patience_room(int64_t idle_ms, int64_t passed_ms, long processors);

/* Whether the next start may be so long after the last one: all together take no more than the processors. */
bool patience_turn(int64_t passed_ms, long processors);

#endif
