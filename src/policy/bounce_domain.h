/*
 * bounce_domain: whether a reverse path may be one of those that policy/return_path.h makes.
 */
#ifndef SENDPOST_POLICY_BOUNCE_DOMAIN_H
#define SENDPOST_POLICY_BOUNCE_DOMAIN_H

#include "base/bounce_address.h"
#include "config/config.h"
#include "store/store.h"

/*
 * Our sub-account's; and with return-path.verify static, below bounce-prefix of a domain that is listed; with
 * sendpost, the name that the account has for the bounces of one of its domains, whether that is verified now
 * or not: mail may have gone out before. With the other kinds of verification, and until the account's
 * domains were heard, any domain may be one.
 */
bool bounce_domain_is_ours(const struct config *config, struct store *store,
                           const struct bounce_address *address) __attribute__((nonnull));

#endif
