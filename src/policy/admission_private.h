/* What admission.c and admission_bring.c, the parts of admission, share. */
#ifndef SENDPOST_POLICY_ADMISSION_PRIVATE_H
#define SENDPOST_POLICY_ADMISSION_PRIVATE_H

#include "policy/admission.h"

/* The limit as the server knows it. */
void admission_name_limit(const char *tpsp, const struct rate_limit *limit, struct cluster_limit *limit_r)
    __attribute__((nonnull));

/* Where this host notes what it was given of the limit. */
void admission_note_key(const char *tpsp, const struct rate_limit *limit, struct rate_key *key_r)
    __attribute__((nonnull));

/* Of every TPSP every limit and connection. False: the server is away, or it is another epoch by now.
 * wait_us_r: until slots are given out again. */
bool admission_bring_all(const struct admission_gate *gate, int64_t epoch, int64_t deadline_ms,
                         int64_t *wait_us_r) __attribute__((nonnull));

#endif
