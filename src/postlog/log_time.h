/*
 * log_time: the time stamps of a log (log_stamp.h) become milliseconds since 1970 UTC.
 *
 * RFC 3339 stamps say all themselves. A classic stamp ("Nov 23 05:29:37", RFC 3164 section 4.1.2) names
 * neither year nor zone: it is local time of this machine, in the latest year in which it is not after the
 * reference, the time the log was last written, by more than a day (clocks differ). So December's lines read
 * in January are last year's. The hour that the end of daylight saving time repeats is told by the line
 * before: time does not run backwards in a log.
 *
 * One instance a log, one thread; it remembers the last minute it computed, because mktime(3) is slow.
 */
#ifndef SENDPOST_POSTLOG_LOG_TIME_H
#define SENDPOST_POSTLOG_LOG_TIME_H

#include <stdint.h>

#include "postlog/postfix_log.h"

struct log_time {
    int64_t reference_ms; /* when the log was last written; kept up to date by the caller */
    int64_t last_ms;   /* the time of the line before; 0: none yet. Keep it with the position in the log. */
    char minute[16];   /* the stamp up to its minute, for which minute_ms holds */
    int64_t minute_ms; /* 0: none cached */
    int stamp_key;     /* the same for other stamps of local time; 0: none cached */
    int64_t stamp_minute_ms;
};

/* The stamp's time, and last_ms moves on to it; last_ms itself when the stamp makes no sense,
 * and the reference when there is none yet. */
int64_t log_time_parse(struct log_time *log_time, struct log_slice stamp) __attribute__((nonnull));

#endif
