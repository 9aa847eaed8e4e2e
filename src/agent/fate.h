/*
 * fate: what one line says of one recipient, as an event without its ids.
 */
#ifndef SENDPOST_AGENT_FATE_H
#define SENDPOST_AGENT_FATE_H

#include "agent/track.h"
#include "classify/classify.h"
#include "event/event.h"

void fate_describe(struct event *event_r, const struct track_note *note, const struct classify_rules *rules)
    __attribute__((nonnull));

/* message_id from 16 bytes, and event_id. The same line always gives the same id, also when it is read
 * again. */
void fate_identify(struct event *event, const unsigned char uuid[16]) __attribute__((nonnull));

#endif
