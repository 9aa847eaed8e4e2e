/*
 * return_path: may a sender domain be used, and under which reverse path does the message go out?
 *
 * The sender domain is that of the From: field, or of the envelope sender where the field names none. With
 * verify static it must be in return-path.domains or below one of them; with verify dns the CNAME of
 * BOUNCE-PREFIX.DOMAIN must lead to cname-target, directly or through at most RETURN_PATH_HOPS aliases. With
 * verify sendpost the account says which domains are, and what their bounce prefix is; until it was heard,
 * DNS.
 *
 * With rewrite the reverse path becomes bounces+UUID+SUBACCOUNT@BOUNCE-PREFIX.DOMAIN, so that bounces name
 * the message that they are about. DOMAIN is the one that is verified: with static the entry of the list,
 * because that is where the postmaster has set up the name that bounces go to. With verify off nothing is
 * known of any such name, so nothing is rewritten.
 *
 * The null sender passes as it is: a bounce of a bounce goes nowhere, and a notification must not be lost for
 * the domain of the MTA that wrote it.
 */
#ifndef SENDPOST_POLICY_RETURN_PATH_H
#define SENDPOST_POLICY_RETURN_PATH_H

#include "base/address.h"
#include "config/config.h"
#include "net/dns.h"
#include "policy/from_header.h"
#include "store/store.h"

#define RETURN_PATH_HOPS 8

struct return_path {
    char domain[FROM_DOMAIN_SIZE];   /* the sender domain; "" when there is none */
    char verified[FROM_DOMAIN_SIZE]; /* the domain that vouches for it; "" when none does or none need */
    char sender[ADDRESS_SIZE];       /* the reverse path to use */
    char note[200];                  /* why, in words */
};

/*
 * from: value of the From: field, NULL when there is none. sender: the envelope's, "" is the null sender.
 * store: the DNS cache; may be NULL. resolver: NULL in a dry run, which takes for verified what only DNS
 * could tell. deadline_ms: clock_monotonic_ms(). Always fills *path_r; false with *outcome_r set when the
 * message must not go out (5.7.1), DNS cannot tell (4.4.3), or
 * an internationalised domain cannot be read for trouble of ours (4.3.0).
 */
bool return_path_decide(const struct config *config, struct store *store, struct dns_resolver *resolver,
                        const char *from, const char *sender, const char *uuid, int64_t deadline_ms,
                        struct return_path *path_r, struct outcome *outcome_r)
    __attribute__((nonnull(1, 5, 6, 8, 9)));

#endif
