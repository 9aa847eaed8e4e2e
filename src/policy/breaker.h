/*
 * breaker: a TPSP that fails again and again is left alone for a growing while, by all processes together,
 * and then tried by one message at a time.
 *
 * BREAKER_THRESHOLD failures in a row (nobody reached, refused as a host, no final reply) open it for
 * BREAKER_FIRST_NS. After that one process gets to try; the others go on leaving the TPSP alone. If it fails,
 * the time doubles, up to BREAKER_LONGEST_NS; any success closes the breaker. Who is killed while trying
 * blocks the next try for no longer than BREAKER_TRY_NS, or the time that the breaker was open.
 *
 * A TPSP that refuses the account or this host is left alone after the first such refusal.
 *
 * The state lives in a rate_table: one word, failures in the low 16 bits, above them the time in milliseconds
 * until which it is open. It begins anew with each boot, and with the loss of the file: the breaker is then
 * closed. It spares time, it guards no promise; where the table fails, the breaker is closed, too.
 */
#ifndef SENDPOST_POLICY_BREAKER_H
#define SENDPOST_POLICY_BREAKER_H

#include "policy/rate_table.h"

#define BREAKER_THRESHOLD 5
#define BREAKER_FIRST_NS INT64_C(5000000000)
#define BREAKER_LONGEST_NS (600 * INT64_C(1000000000))
#define BREAKER_TRY_NS (60 * INT64_C(1000000000))

enum breaker_state {
    BREAKER_CLOSED, /* go ahead */
    BREAKER_TRY,    /* go ahead: the caller is the one to try, and says to breaker_report() how it went */
    BREAKER_OPEN,   /* leave it alone */
};

struct breaker {
    enum breaker_state state;
    unsigned failures; /* in a row */
    int64_t until_ns;  /* BREAKER_OPEN: when it is tried again, at the earliest */
    bool of_all;       /* it is that of all hosts of a cluster (breaker_share.h) */
};

/* " of all hosts" where it is theirs, "" where it is that of this host: behind "failures", "left alone". */
const char *breaker_whose(const struct breaker *breaker) __attribute__((nonnull, returns_nonnull));

/* May this delivery go to the TPSP? */
struct breaker breaker_ask(struct rate_table *table, const char *tpsp) __attribute__((nonnull));

/* The same without taking the place of the one to try: BREAKER_TRY means that the next one would be. In a
 * cluster that of all hosts counts as well. */
struct breaker breaker_look(struct rate_table *table, const char *tpsp) __attribute__((nonnull));

enum breaker_result {
    BREAKER_WORKS,
    BREAKER_FAILS,
    BREAKER_REFUSES, /* it will have nothing from us: opens at once */
    BREAKER_UNKNOWN, /* it was not tried after all */
};

/* state: as breaker_ask() answered. */
void breaker_report(struct rate_table *table, const char *tpsp, enum breaker_state state,
                    enum breaker_result result) __attribute__((nonnull));

/*
 * The TPSP refused the account or this host in answer to a recipient of this domain, and words said there can
 * be of the recipient's own making. True, and to be reported as BREAKER_REFUSES, when it has said so of
 * recipients in three different domains without a success in between.
 */
bool breaker_suspect(struct rate_table *table, const char *tpsp, const char *domain) __attribute__((nonnull));

/* Close it. */
void breaker_reset(struct rate_table *table, const char *tpsp) __attribute__((nonnull));

/* --- for breaker_share.h, which has another word of the same kind ----------------------------------------
 */

#define BREAKER_OF_ALL "breaker of all"
#define BREAKER_FAILURES_MAX 0xffff /* more are not counted */

/* Of this host alone. */
struct breaker breaker_look_own(struct rate_table *table, const char *tpsp) __attribute__((nonnull));

int64_t breaker_pack(int64_t until_ns, unsigned failures);
int64_t breaker_until(int64_t word);
struct breaker breaker_judge(int64_t word, int64_t now);

/* The word after a failure; unchanged when it says nothing new. */
int64_t breaker_failed(int64_t word, enum breaker_state state, bool at_once, int64_t now);

/* The word with which one begins to try, and the one with which he leaves it to the next. */
int64_t breaker_claimed(int64_t word, int64_t now);
int64_t breaker_released(int64_t word, int64_t now);

#endif
