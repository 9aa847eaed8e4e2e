/*
 * simulation: a clock for rate tables that all forked test processes share, with a record of what was
 * admitted at which time, and the state directory they work in.
 */
#ifndef SENDPOST_SIMULATION_H
#define SENDPOST_SIMULATION_H

#include <stdatomic.h>
#include <sys/types.h>

#include "policy/rate_limit.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define SIMULATION_RECORDS 500000 /* 100 an hour for 100 days, and as much again */

struct simulation {
    _Atomic int64_t now;
    _Atomic int busy; /* processes that time waits for, where a test wants it to */
    _Atomic size_t count;
    int64_t records[SIMULATION_RECORDS];
    char dir[64];
    char boot_id[RATE_BOOT_ID_SIZE];
    struct rate_clock clock;
    struct config_tpsp tpsp; /* "primary", 100 an hour, until a test says otherwise */
};

struct simulation *simulation_begin(void);
void simulation_end(struct simulation *simulation);
struct rate_table *simulation_table(struct simulation *simulation);
void simulation_path(const struct simulation *simulation, char path_r[128]); /* of the file of rates */
void simulation_record(struct simulation *simulation, int64_t time);

int64_t simulation_random(int64_t below); /* from random(), which alone ends at two seconds */

/* The most admissions in any half-open window: all windows that begin at an admission are looked at, no other
 * can hold more. Sorts the records. */
size_t simulation_most_in_a_window(struct simulation *simulation, int64_t window);

/* For child processes, too, which have no assertions of Check: what must not fail ends the process with a
 * status. */
void simulation_set(struct simulation *simulation, struct rate_set *set_r, enum provider_category provider,
                    uint32_t burst);
bool simulation_take(struct rate_table *table, struct rate_set *set, struct rate_grant *grant_r);

/* Send and record as much as goes until the simulated time is end; it goes on by up to step with each try. */
void simulation_hammer(struct simulation *simulation, int64_t end, int64_t step);

/*
 * SIMULATION_HASTE of the environment, 1 without it: by this the longest tests make their steps longer and
 * their counts smaller, with the same promises to keep. For valgrind, under which each step takes so much
 * longer.
 */
int simulation_haste(void);

pid_t simulation_start(struct simulation *simulation,
                       void (*run)(struct simulation *, int64_t end, int64_t step), int64_t end,
                       int64_t step);
void simulation_expect_all_well(int children); /* waits for them to exit with 0 */

#endif
