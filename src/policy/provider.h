/*
 * provider: which of the mailbox-provider categories a recipient belongs to, and why. First the domain table,
 * then, with provider-lookup mx, the table of MX hosts; "default" when neither knows, and when DNS does not
 * answer in time: a rate category is not worth holding up mail for.
 *
 * The tables: provider_rules.h. The postmaster's file is "providers" beside the configuration file; when it
 * cannot be understood that is logged and ours alone count. MX records are remembered in the store for their
 * TTL, within bounds: a "no" for an hour at most, trouble for a minute.
 */
#ifndef SENDPOST_POLICY_PROVIDER_H
#define SENDPOST_POLICY_PROVIDER_H

#include "config/config.h"
#include "net/dns.h"
#include "store/store.h"

#define PROVIDER_NAME_SIZE 256

enum provider_how { PROVIDER_BY_NOTHING, PROVIDER_BY_DOMAIN, PROVIDER_BY_MX };

struct provider {
    enum provider_category category;
    enum provider_how how;
    char pattern[PROVIDER_NAME_SIZE]; /* the rule's; "" with PROVIDER_BY_NOTHING */
    char host[PROVIDER_NAME_SIZE];    /* the MX host that it fits; "" otherwise */
    char note[200];                   /* what DNS said when it said no; "" otherwise */
};

/* store may be NULL: nothing is remembered. resolver may be NULL: MX hosts are not looked up. deadline_ms:
 * clock_monotonic_ms(). */
void provider_find(const struct config *config, struct store *store, struct dns_resolver *resolver,
                   const char *recipient, int64_t deadline_ms, struct provider *provider_r)
    __attribute__((nonnull(1, 4, 6)));

/* Path of the postmaster's file; the caller frees. */
char *provider_file(const struct config *config) __attribute__((nonnull, returns_nonnull));

#endif
