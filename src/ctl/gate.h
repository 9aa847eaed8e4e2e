/*
 * gate: the limits as a delivery would find them now: in the table of this host, and on the server of the
 * cluster where there is one.
 */
#ifndef SENDPOST_CTL_GATE_H
#define SENDPOST_CTL_GATE_H

#include "policy/admission.h"

struct ctl_gate {
    struct admission_gate gate;
    struct dns_resolver *resolver;
    struct tls_contexts *tls;
};

/* False with *error_r set, and nothing to close. A cluster that is away is no failure. config outlives it. */
bool ctl_gate_open(struct ctl_gate *gate_r, const struct config *config, struct outcome *error_r)
    __attribute__((nonnull));
void ctl_gate_close(struct ctl_gate *gate) __attribute__((nonnull));

#endif
