/*
 * breaker_share: the breaker of a TPSP in a cluster. Each host has its own (breaker.h) for its own way there,
 * and all have one together:
 *
 *   the TPSP refuses the account      that is everybody's: it opens for all at once
 *   a host fails again and again, or  its own breaker opens, and it is a suspect for all; when another host
 *   is refused as a host              comes to the same while nobody has had a success since, it is the TPSP,
 *                                     and it opens for all
 *   a message is taken, of any host   it closes for all, and nobody is a suspect; what a host's own breaker
 *                                     knows of its own way, it keeps
 *
 * While it is open for all, one message of all hosts tries: whoever gets to tell the others so (told.h) is
 * the one (tests/model/cluster_breaker.pml), and what comes of it tells all. A host whose try came to nothing
 * lets others go first the next time, for it may be its own way that is broken. With the server away each
 * host goes by what it knows.
 */
#ifndef SENDPOST_POLICY_BREAKER_SHARE_H
#define SENDPOST_POLICY_BREAKER_SHARE_H

#include <stdio.h>

#include "policy/admission.h"
#include "policy/breaker.h"

/* breaker_ask(), over all hosts. */
struct breaker breaker_share_ask(const struct admission_gate *gate, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

/* breaker_report(), over all hosts. of_account: it is a refusal that any host would have heard. */
void breaker_share_report(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                          enum breaker_state state, enum breaker_result result, bool of_account)
    __attribute__((nonnull));

/* Close it, for all hosts as far as this one knows. */
void breaker_share_reset(struct rate_table *table, const char *tpsp) __attribute__((nonnull));

/* --- for told.h ---------------------------------------------------------------------------------------- */

struct breaker_words {
    int64_t word;       /* as breaker.h has it */
    int64_t changed_ns; /* when any of it last did */
    int64_t tries;      /* the host that tries, or tried last */
    int64_t suspect;    /* the host whose own breaker has opened; 0: none */
    int64_t suspect_until_ns;
};

void breaker_words(struct rate_table *table, const char *tpsp, struct breaker_words *words_r)
    __attribute__((nonnull));
int64_t breaker_words_mark(const struct breaker_words *words) __attribute__((nonnull));
void breaker_write(const struct breaker_words *words, int64_t ahead_us, FILE *out) __attribute__((nonnull));

/* Make the table what text says; merge: unless this host knows something later. What it says of the breaker
 * and cannot be read changes nothing. */
void breaker_read(struct rate_table *table, const char *tpsp, const struct breaker_words *before, bool merge,
                  int64_t ahead_us, const char *text) __attribute__((nonnull));

#endif
