/*
 * stall: a log that no longer grows although Postfix works: a wrong log-path, a syslog daemon that was not
 * told of the rotation. Postfix's work shows in its queue directories, whose times anybody may read; where
 * there is no local Postfix nothing is ever found.
 */
#ifndef SENDPOST_AGENT_STALL_H
#define SENDPOST_AGENT_STALL_H

#include <stdbool.h>
#include <stdint.h>

struct stall {
    char queue[512];  /* Postfix's queue_directory; "": none here */
    int64_t since_ms; /* we have been looking */
    int64_t looked_ms;
    bool stalled;
};

/* The queue of the Postfix in $MAIL_CONFIG, else /etc/postfix. now_ms: clock_realtime_ms(). */
void stall_init(struct stall *stall, int64_t now_ms) __attribute__((nonnull));

/* Whether it has stalled; looks once a minute. log_written_ms: 0 when not known. Warns in the log when that
 * begins. */
bool stall_look(struct stall *stall, int64_t log_written_ms, int64_t now_ms) __attribute__((nonnull));

#endif
