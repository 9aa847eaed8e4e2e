/* status_private: what `sendpostctl status` shows, gathered by status_read.c and printed by status.c. */
#ifndef SENDPOST_CTL_STATUS_PRIVATE_H
#define SENDPOST_CTL_STATUS_PRIVATE_H

#include <json-c/json.h>

#include "ctl/ctl.h"
#include "event/event_store.h"
#include "policy/breaker.h"
#include "policy/standing.h"
#include "store/store.h"

#define HOUR_MS INT64_C(3600000)
#define ERRORS 5

struct tally {
    uint64_t last_hour; /* accepted */
    uint64_t accepted, deferred, dropped;
};

struct status {
    struct ctl *ctl;
    const struct config *config;
    int64_t now_ms;
    struct tally *tallies; /* one for each TPSP, and one for what no TPSP of the configuration did */
    struct event errors[ERRORS];
    size_t error_count;
    int64_t pending, rejected, waiting, next_ms;
    /* what sendpost-bounce was given and made no event of */
    uint64_t no_bounces, nobodys_bounces, unbelieved_bounces;
    struct breaker *breakers;
    struct slowed {
        char **lines;
        size_t count;
        struct json_object *json; /* by name of the TPSP */
    } slowed;
    unsigned *connections; /* by TPSP: in use */
    struct held {
        const struct config_tpsp *tpsp;
        struct standing standing;
        int64_t messages;
    } * held; /* room for one of each TPSP */
    size_t held_count;
    struct store_leftovers leftovers;
    struct json_object *agent; /* what it says; NULL: it does not answer */
    char *agent_error;
    bool ok;
};

/* From the store and what all processes share; its arrays have room for every TPSP. False: it was said why.
 */
bool status_read(struct status *status) __attribute__((nonnull));

#endif
