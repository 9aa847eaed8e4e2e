/*
 * mail_date: the time that a Received field ends in (RFC 5321 section 4.4, date-time of RFC 5322
 * section 3.3).
 */
#ifndef SENDPOST_BASE_MAIL_DATE_H
#define SENDPOST_BASE_MAIL_DATE_H

#include <stdint.h>

/* Of "… for <a@b>; Thu, 26 Nov 2026 06:29:02 +0000 (UTC)", in clock_realtime_ms(); 0: there is none. */
int64_t mail_date_received(const char *field) __attribute__((nonnull));

#endif
