/*
 * dns_cache: what DNS said, kept in the store for as long as it allows, so that a process per message does
 * not ask again and again. A cache and nothing more: every failure of it reads as "not there".
 *
 * Table dns_cache has DNS_CACHE_SLOTS rows at most; a name always falls into the same one and displaces
 * whatever was there. So it never grows, and nothing needs to be swept.
 */
#ifndef SENDPOST_POLICY_DNS_CACHE_H
#define SENDPOST_POLICY_DNS_CACHE_H

#include <stdint.h>

#include "store/store.h"

#define DNS_CACHE_SLOTS 65536

/* type: "mx", "cname". store may be NULL: nothing is ever there. The caller frees the value; NULL: not
 * there. */
char *dns_cache_get(struct store *store, const char *type, const char *name, int64_t now_ms)
    __attribute__((nonnull(2, 3)));
void dns_cache_put(struct store *store, const char *type, const char *name, const char *value,
                   int64_t expires_ms) __attribute__((nonnull(2, 3, 4)));

#endif
