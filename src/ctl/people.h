/*
 * people: values as a person reads them: local time, short UUIDs, spans, one colour for each word of one
 * vocabulary. Pipes and -v get the full form, which is the program's.
 */
#ifndef SENDPOST_CTL_PEOPLE_H
#define SENDPOST_CTL_PEOPLE_H

#include "base/uuid.h"
#include "ctl/ctl.h"

/* Whether stdout is for a person: a terminal, or SENDPOSTCTL_PEOPLE=1 is in the environment. */
bool people_look(void);

#define PEOPLE_TIME_SIZE 32
/* "10:31:02" of today, else "Nov 25 10:31:02", of another year "2025-11-25 10:31"; "" for 0: not known. */
char *people_time(int64_t realtime_ms, char buffer[PEOPLE_TIME_SIZE]) __attribute__((nonnull));
/* The same of "2026-11-23T05:01:32.123Z"; "" where it is none. */
char *people_time_of(const char *rfc3339, char buffer[PEOPLE_TIME_SIZE]) __attribute__((nonnull));

/* For a person people_time(), else RFC 3339; "never" for 0. */
char *people_when(int64_t realtime_ms, char buffer[PEOPLE_TIME_SIZE]) __attribute__((nonnull));
char *people_when_of(const char *rfc3339, char buffer[PEOPLE_TIME_SIZE]) __attribute__((nonnull));

#define PEOPLE_SPAN_SIZE 32
/* "40 s", "12 min", "5 h", "3 d": of what is left, or has passed; 0 for less than nothing. */
char *people_span(int64_t ms, char buffer[PEOPLE_SPAN_SIZE]) __attribute__((nonnull));

/* Its first eight characters, which `trace` takes. */
char *people_uuid(const char *uuid, char buffer[UUID_SIZE]) __attribute__((nonnull));

/* Of a word of our vocabulary: delivered, sent, deferred, dropped, bounced … */
enum ctl_colour people_colour(const char *word) __attribute__((nonnull));

bool people_number(const char *text, size_t least, size_t most, size_t *number_r) __attribute__((nonnull));
/* "18:00" (the next one), "2026-12-01", "2026-12-01 18:00" or with a T and seconds: of this host's time, with
 * a Z at its end of UTC. -1 when it is none of these. */
int64_t people_moment_ms(const char *text, int64_t now_ms) __attribute__((nonnull));
/* "90s", "5m", "1h", "7d", a bare number of seconds; -1 when it is no duration. */
int64_t people_duration_ms(const char *text) __attribute__((nonnull));

#endif
