/*
 * clock: the time, in the two forms that the project needs. Code whose behaviour over time is tested takes
 * "now" as an argument; only the callers at the top read a clock.
 *
 * All functions are safe in any thread.
 */
#ifndef SENDPOST_BASE_CLOCK_H
#define SENDPOST_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Milliseconds since 1970-01-01 UTC. Can step; for timestamps only. */
int64_t clock_realtime_ms(void);

/* Milliseconds since boot, suspend included (CLOCK_BOOTTIME). Never steps; for deadlines and durations. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void); /* the same clock in microseconds */

/* A time of any clock, of a file say, in milliseconds. */
int64_t clock_ms(struct timespec time);

/* Clocks of two hosts that differ by more are told of. */
#define CLOCK_APART_S 60

#define CLOCK_RFC3339_SIZE 32

/* "2026-11-23T05:01:32.123Z" (RFC 3339 section 5.6, UTC, milliseconds) into buffer; returns buffer. */
char *clock_rfc3339(int64_t realtime_ms, char buffer[CLOCK_RFC3339_SIZE]);

#endif
