/*
 * mail_date: the dates of mail and of HTTP (date-time of RFC 5322 section 3.3, IMF-fixdate of RFC 9110
 * section 5.6.7).
 */
#ifndef SENDPOST_BASE_MAIL_DATE_H
#define SENDPOST_BASE_MAIL_DATE_H

#include <stdint.h>

/* "Thu, 26 Nov 2026 06:29:02 +0000 (UTC)", also without the day's name, or with GMT: seconds since 1970; 0:
 * that is none. */
int64_t mail_date_read(const char *text) __attribute__((nonnull));

/* Of a Received field (RFC 5321 section 4.4), "… for <a@b>; Thu, 26 Nov 2026 06:29:02 +0000 (UTC)", in
 * clock_realtime_ms(); 0: there is none. */
int64_t mail_date_received(const char *field) __attribute__((nonnull));

#endif
