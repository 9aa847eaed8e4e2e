/*
 * log_stamp: the time stamps that syslog daemons, journalctl and log shippers put before a line, beside the
 * two that log_time reads at full speed (classic and RFC 3339).
 *
 *   Nov 23 03:30:52.123456      and with any other word for the month: "nov.", "Mär", "lis", "ноя", "11月"
 *   23 Nov 2026 03:30:52        day first, with a year, in either order
 *   Mon Nov 23 03:30:52 2026    and with a day of the week or a year in front
 *   2026-11-23 03:30:52         ISO 8601 with a space, a fraction behind '.' or ',', with or without a zone
 *   Mon 2026-11-23 03:30:52 UTC journalctl -o short-full
 *   1795404652.123456           seconds (10 digits), milliseconds (13), microseconds (16) since 1970
 *   @400000006a8b...            TAI64N (multilog, s6-log)
 *
 * A month whose name we do not know, or that is another month in another language ("lis", "srp"), is the
 * latest that is not in the future: log_time decides. Reads nothing beyond the length given; no state.
 */
#ifndef SENDPOST_POSTLOG_LOG_STAMP_H
#define SENDPOST_POSTLOG_LOG_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_stamp {
    bool absolute;       /* absolute_ms says it all */
    int64_t absolute_ms; /* since 1970 UTC */

    int year;  /* 0: not said */
    int month; /* 1 to 12; 0: not known */
    int day, hour, minute, second, millisecond;
    bool zoned; /* else local time */
    int offset_minutes;
};

/* How long the stamp at the start of text is; 0: there is none. */
size_t log_stamp_take(const char *text, size_t length, struct log_stamp *stamp_r) __attribute__((nonnull));

#endif
