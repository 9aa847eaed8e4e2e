/*
 * slow_down_behind: what was said of a message after a TPSP of ours had taken it: in the log of an MTA of
 * ours that is the TPSP, or in a bounce. It is about the mailbox provider of the recipient, and slows down
 * the messages that go to that provider through that TPSP, never all of them.
 */
#ifndef SENDPOST_POLICY_SLOW_DOWN_BEHIND_H
#define SENDPOST_POLICY_SLOW_DOWN_BEHIND_H

#include "classify/replies.h"
#include "event/event.h"
#include "policy/slow_down.h"

#define SLOW_DOWN_RECENT_MS 600000 /* what was said longer ago says nothing about now */

struct slow_down_said {
    const struct event *sent; /* the event of the pipe: TPSP and provider */
    const char *recipient;
    int code;
    const char *status; /* "" when there is none */
    const char *text;
    size_t length;
    int64_t time_ms; /* clock_realtime_ms() at which it was said */
    bool bounced;    /* else deferred */
    bool in_bounce;  /* a recipient can write bounces of his own mail: see slow_down_heard.by_recipient */
};

void slow_down_hear_behind(const struct config *config, struct rate_table *table,
                           const struct replies *replies, const struct slow_down_said *said, int64_t now_ms)
    __attribute__((nonnull));

#endif
