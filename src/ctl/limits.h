/*
 * limits: the limits of a TPSP as they stand now, for `sendpostctl rates` and `sendpostctl status`: what may
 * pass at once, when the next slot comes, and how many were used in the window that ends now.
 */
#ifndef SENDPOST_CTL_LIMITS_H
#define SENDPOST_CTL_LIMITS_H

#include <json-c/json.h>

#include "policy/admission.h"
#include "policy/breaker.h"
#include "policy/limit_words.h"
#include "store/store.h"

struct limits_request {
    const struct admission_gate *gate;
    struct store *store; /* tells what was used */
    const struct config_tpsp *tpsp;
    bool all; /* also providers with the limit of all others, to which nothing was sent */
};

/* Each limit once, those of the TPSP as a whole first. False with *error_r set. */
bool limits_each(const struct limits_request *request,
                 void (*see)(void *context, const struct limit_now *now), void *context,
                 struct outcome *error_r) __attribute__((nonnull(1, 2, 4)));

/* limit, window_seconds, provider, burst, free, used, next_slot_seconds; what is not known is null. */
struct json_object *limits_json(const struct limit_now *now) __attribute__((nonnull));

/* state, failures, of_all_hosts, retry_seconds; its until_ns is from now. */
struct json_object *limits_breaker_json(const struct breaker *breaker) __attribute__((nonnull));

/* Of a TPSP with max-connections, how many are in use. */
struct limits_connections {
    unsigned here, of_all; /* by all hosts of the cluster */
    bool of_all_known;
};

void limits_connections(const struct admission_gate *gate, struct connections_desk *leases,
                        const struct config_tpsp *tpsp, struct limits_connections *connections_r)
    __attribute__((nonnull));

/* ", 3 of 10 connections (1 here)"; "" for a TPSP without max-connections. */
#define LIMITS_CONNECTIONS_SIZE 80
const char *limits_connections_text(const struct limits_connections *connections,
                                    const struct config_tpsp *tpsp, char text_r[LIMITS_CONNECTIONS_SIZE])
    __attribute__((nonnull));

/* used, limit; cluster where that is known */
struct json_object *limits_connections_json(const struct limits_connections *connections,
                                            const struct config_tpsp *tpsp) __attribute__((nonnull));

/* The breaker of the TPSP, with its until_ns from now. */
struct breaker limits_breaker(struct rate_table *table, const struct config_tpsp *tpsp)
    __attribute__((nonnull));

#endif
