/*
 * validate: is this a message that may be sent at all? Size, header, addresses. Nothing is looked up.
 */
#ifndef SENDPOST_POLICY_VALIDATE_H
#define SENDPOST_POLICY_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct validate_facts {
    const char *sender; /* "" is the null sender */
    const char *recipient;
    const char *from;     /* value of the From: field, NULL when there is none */
    uint64_t size;        /* bytes as received */
    bool header_overflow; /* the header section is larger than we take */
};

/* False with *outcome_r set (dropped: 5.3.4, 5.6.0, 5.1.3, 5.1.7) when it is not. */
bool validate(const struct config *config, const struct validate_facts *facts, struct outcome *outcome_r)
    __attribute__((nonnull));

#endif
