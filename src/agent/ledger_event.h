/* ledger_event: what a line of the log says of a recipient, as an event. */
#ifndef SENDPOST_AGENT_LEDGER_EVENT_H
#define SENDPOST_AGENT_LEDGER_EVENT_H

#include "agent/track.h"
#include "classify/classify.h"
#include "event/event.h"

/* All but its ids. A bounce is judged by these rules. */
void ledger_event_describe(struct event *event_r, const struct track_note *note,
                           const struct classify_rules *rules) __attribute__((nonnull));

/* The ids: the same line always gives the same, also when it is read again. */
void ledger_event_identify(struct event *event, const unsigned char uuid[16]) __attribute__((nonnull));

#endif
