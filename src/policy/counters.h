/*
 * counters: STATE_DIR/counters, what deliveries came to, for the metrics: in a mapped file that all
 * deliverers add to and the agent reads.
 *
 * A file and no rows: counting costs a delivery some additions to memory, and no write, lock or system call.
 * An addition is one instruction, so that a kill at any moment leaves every counter as it was before or
 * after; a power cut may take the last ones back. A file that is deleted or damaged begins anew at zero,
 * which is what Prometheus takes a restart for. Where there is no room, or no file, nothing is counted and
 * nothing else changes.
 *
 * A series is found by its names, in COUNTERS_SERIES places; when all are taken, further ones are not
 * counted. A table belongs to one thread; threads and processes share the file, each by a table of its own.
 */
#ifndef SENDPOST_POLICY_COUNTERS_H
#define SENDPOST_POLICY_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

#define COUNTERS_SERIES 2048
#define COUNTERS_VALUES 24
#define COUNTERS_NAME_SIZE 65
#define COUNTERS_BUCKETS 14      /* of the time from Postfix's queue to the end, the last without bound */
#define COUNTERS_WAIT_BUCKETS 16 /* of the time that a delivery waited for the store */

enum counters_kind {
    COUNTERS_OUTCOMES = 1, /* name: provider; values: counters_outcome_place() */
    COUNTERS_TIMES,        /* name: provider; values: buckets, each its own, then the sum in milliseconds */
    COUNTERS_DEFERRALS,    /* name: reason, detail: rule; values[0] */
    COUNTERS_CERTIFICATE,  /* values[0]: when the TPSP's own ends, clock_realtime_ms(): no counter */
    COUNTERS_WAITS,        /* no names; values: buckets, each its own, then the sum in microseconds */
};

struct counters_series {
    _Atomic uint64_t hash; /* 0: free; lowest bits: being made, or made */
    uint32_t kind;
    char tpsp[COUNTERS_NAME_SIZE], name[COUNTERS_NAME_SIZE], detail[COUNTERS_NAME_SIZE];
    _Atomic uint64_t values[COUNTERS_VALUES];
};

struct counters;

/* Made if it is not there. NULL: it cannot be had, and nothing is counted. */
struct counters *counters_open(const char *state_dir) __attribute__((nonnull));
void counters_close(struct counters *counters); /* NULL is fine */

/* The upper bounds of the buckets, in milliseconds; the last is INT64_MAX. */
extern const int64_t counters_bounds_ms[COUNTERS_BUCKETS];
extern const int64_t counters_wait_bounds_us[COUNTERS_WAIT_BUCKETS]; /* in microseconds */

/* Where outcomes of this class and cause are counted. */
unsigned counters_outcome_place(enum outcome_class class, enum outcome_cause cause);

/* What became of one delivery. */
struct counters_delivery {
    const char *tpsp;     /* "" where none was asked */
    const char *provider; /* "" where it is not known */
    const struct outcome *outcome;
    const char *reason, *rule; /* of a deferral: who knows what was said; NULL: nobody said anything */
    int64_t time_ms;           /* since it came into the queue; counted where the outcome is final */
    int64_t certificate_ms;    /* until when the TPSP's certificate is good; 0: not seen */
};
void counters_note(struct counters *counters, const struct counters_delivery *delivery)
    __attribute__((nonnull(2)));
/* How long one delivery waited for other processes at the store (store_take_wait_us()); 0 counts, too. */
void counters_note_wait(struct counters *counters, int64_t wait_us);

/* Each series that there is. */
void counters_each(struct counters *counters,
                   void (*see)(void *context, const struct counters_series *series), void *context)
    __attribute__((nonnull(2)));

/* "deferred", "unreachable": the words for labels. */
const char *counters_class_name(enum outcome_class class) __attribute__((returns_nonnull));
const char *counters_cause_name(enum outcome_cause cause) __attribute__((returns_nonnull));

#endif
