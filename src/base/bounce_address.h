/*
 * bounce_address: the reverse path that names the message it belongs to, bounces+UUID+SUBACCOUNT@DOMAIN
 * (VERP). The one place that knows its form: the pipe writes it, the agent reads it in the log, and
 * sendpost-bounce reads it where a report comes back to it. Bytes may come from strangers.
 */
#ifndef SENDPOST_BASE_BOUNCE_ADDRESS_H
#define SENDPOST_BASE_BOUNCE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/uuid.h"

struct bounce_address {
    char uuid[UUID_SIZE]; /* lower case */
    int64_t subaccount;
    const char *domain; /* points into what was parsed; length bytes, at least one */
    size_t domain_length;
};

/* False when the address is of another form. The word "bounces" may be in any case, as servers on the way
 * have it. */
bool bounce_address_parse(struct bounce_address *address_r, const char *text, size_t length)
    __attribute__((nonnull));

/* prefix: the label in front of domain, "sp-bounce". Cut where it would not fit. */
void bounce_address_format(char address_r[ADDRESS_SIZE], const char *uuid, int64_t subaccount,
                           const char *prefix, const char *domain) __attribute__((nonnull));

#endif
