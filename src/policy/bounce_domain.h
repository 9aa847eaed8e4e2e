/*
 * bounce_domain: whether a reverse path may be one of those that policy/return_path.h makes.
 */
#ifndef SENDPOST_POLICY_BOUNCE_DOMAIN_H
#define SENDPOST_POLICY_BOUNCE_DOMAIN_H

#include "base/bounce_address.h"
#include "config/config.h"

/*
 * Our sub-account's; and with return-path.verify static, below bounce-prefix of a domain that is listed. With
 * the other kinds of verification any domain may be one.
 */
bool bounce_domain_is_ours(const struct config *config, const struct bounce_address *address)
    __attribute__((nonnull));

#endif
