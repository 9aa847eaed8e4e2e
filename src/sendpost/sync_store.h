/*
 * sync_store: what is known of SendPost's lists, and how far they are read. A part of sync; for others there
 * are the values of the meta table. Addresses of SendPost's list are compared without regard to case, as it
 * does.
 */
#ifndef SENDPOST_SENDPOST_SYNC_STORE_H
#define SENDPOST_SENDPOST_SYNC_STORE_H

#include "sendpost/api_answer.h"
#include "store/store.h"

/* Keys of the meta table; numbers. */
#define SYNC_SENT "sendpost.sent"       /* sequence of the journal up to which own changes are sent */
#define SYNC_PASS "sendpost.pass"       /* number of the whole pass under way, or of the last one */
#define SYNC_WINDOW "sendpost.window"   /* the day at which it goes on; 0: none is under way */
#define SYNC_FULL "sendpost.full"       /* when the last one was complete, clock_realtime_ms() */
#define SYNC_GONE "sendpost.gone"       /* entries that wait for a confirmation */
#define SYNC_DOMAINS "sendpost.domains" /* number of the last reading of the domains */
#define SYNC_LAST "sendpost.last"       /* when the lists were last the same */
#define SYNC_LEADS "sendpost.leads"     /* 1: since this host began to lead, no other has been heard to */
#define SYNC_FRESH "sendpost.fresh"     /* 1: the list has to be read before anything is sent */

bool sync_store_put_number(struct store *store, const char *key, int64_t number, struct outcome *error_r)
    __attribute__((nonnull));

/* Whether SendPost has this address for this reason, or at all. */
bool sync_store_has(struct store *store, const struct suppression *entry) __attribute__((nonnull));
bool sync_store_knows(struct store *store, const char *address) __attribute__((nonnull));

/* What other hosts of the cluster have taken from SendPost becomes known here, too. */
bool sync_store_inherit(struct store *store, struct outcome *error_r) __attribute__((nonnull));

/* After a removal there; after an addition there, of which made is what the server says. */
bool sync_store_forget(struct store *store, const struct suppression *entries, size_t count,
                       struct outcome *error_r) __attribute__((nonnull));
bool sync_store_note(struct store *store, const struct suppression *entries, size_t count,
                     const struct api_suppressions *made, struct outcome *error_r) __attribute__((nonnull));

/* A page of the list there becomes known, and counts here where nothing later is known. */
bool sync_store_take(struct store *store, const struct api_suppressions *list, uint64_t *taken_r,
                     struct outcome *error_r) __attribute__((nonnull));

/* After a pass: how many it did not show that are on the list here, and of how many. The others are not known
 * any more. */
bool sync_store_count_absent(struct store *store, int64_t *gone_r, int64_t *all_r, struct outcome *error_r)
    __attribute__((nonnull));

/* The next of them behind an address, in the order of the addresses: 1, 0 when there is none, -1 with
 * *error_r set. */
int sync_store_next_absent(struct store *store, const char *after, struct api_suppression *next_r,
                           struct outcome *error_r) __attribute__((nonnull));

/* Somebody has removed it there. */
bool sync_store_remove(struct store *store, const struct suppression *entry, struct outcome *error_r)
    __attribute__((nonnull));

/* A page of domains; first and last of the list. Those that are not in it are forgotten at its end. */
bool sync_store_domains(struct store *store, const struct api_domains *list, bool first, bool last,
                        struct outcome *error_r) __attribute__((nonnull));

/* Each of them, by name; the visitor may change what it is given. How many, -1 with *error_r set. */
int sync_store_each_domain(struct store *store, void (*visit)(void *context, struct api_domain *domain),
                           void *context, struct outcome *error_r) __attribute__((nonnull(1, 2, 4)));

#endif
