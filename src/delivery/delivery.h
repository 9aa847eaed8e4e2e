/*
 * delivery: one delivery on its way through the stages, inside src/delivery alone. deliver.c leads it from
 * one to the next; each stage fills in its part and looks at what came before.
 */
#ifndef SENDPOST_DELIVERY_DELIVERY_H
#define SENDPOST_DELIVERY_DELIVERY_H

#include "base/uuid.h"
#include "delivery/claim.h"
#include "delivery/deliver.h"
#include "event/event_store.h"
#include "policy/provider.h"
#include "policy/retry.h"
#include "policy/return_path.h"
#include "policy/route.h"

struct delivery {
    const struct deliver_context *context;
    const struct delivery_request *request;
    struct message *message;
    int64_t start_ms;
    int claim;     /* descriptor, -1 when none */
    int64_t key;   /* of the mark and the intent */
    int mark;      /* place, -1 when none */
    bool accepted; /* and the mark says so */

    char uuid[UUID_SIZE];
    struct return_path path;
    const char *sender; /* reverse path as it is sent */
    struct retry_past past;
    struct provider provider;
    const struct config_pool *pool;
    const struct config_tpsp *tpsp;

    bool asked;      /* relay holds what the TPSP was asked and said */
    bool broken_off; /* its dot was not sent, for a reason of ours that no TPSP has to do with */
    struct relay_result relay;
    struct outcome outcome;

    const struct config_tpsp *holder; /* mail is held for this one's sake; NULL: for none */
    struct outcome hold;              /* why */

    bool recorded; /* event is in the store, in this state */
    struct event event;
    enum event_state event_state;
};

static inline struct retry_key delivery_retry_key(const struct delivery *delivery)
{
    return (struct retry_key){delivery->request->queue_id, delivery->request->recipient, delivery->uuid};
}

/* --- decide.c --- */

/*
 * Whether to send it now, from where and through which pool; false with delivery->outcome set when not. The
 * order is a promise: what is not to be sent takes no rate slot and opens no connection, and what costs more
 * comes later. A dry run has neither store nor resolver.
 */
bool delivery_decide(struct delivery *delivery) __attribute__((nonnull));

/* What routes go by, once it is decided. Points into delivery. */
struct route_facts delivery_route_facts(const struct delivery *delivery) __attribute__((nonnull));

/* The time until which policy and relay may work: what recording and reporting need at the end is nobody
 * else's. */
int64_t delivery_work_deadline(const struct deliver_context *context) __attribute__((nonnull));

/* --- progress.c --- */

/* Of queue id, recipient, content, and this message UUID. */
int64_t delivery_key(const struct delivery *delivery, const char *uuid) __attribute__((nonnull));

/* Whether an earlier run has worked on it under this UUID: its event, its rung of the ladder, its intent or
 * its mark is there. -1 with delivery->outcome set when the store cannot tell. */
int delivery_was_begun(struct delivery *delivery, const char *uuid) __attribute__((nonnull));

/* What earlier runs have come to. False when nothing is left to decide: the outcome is known. */
bool delivery_look_back(struct delivery *delivery) __attribute__((nonnull));

/* Before the first TPSP is contacted: that it will be is on record, and there is a place for what becomes of
 * it. False with delivery->outcome set: nobody must be contacted. */
bool delivery_intend(struct delivery *delivery) __attribute__((nonnull));

/* The outcome is on record, or there is none to be. */
void delivery_conclude(struct delivery *delivery) __attribute__((nonnull));

/* --- hold.c --- */

/* After a TPSP was asked. Its silence becomes trouble of ours when it has never answered. */
void delivery_note_standing(struct delivery *delivery) __attribute__((nonnull));

/* When the pool is through: a message that waits for trouble not its own says so in its row. */
void delivery_hold(struct delivery *delivery) __attribute__((nonnull));

/* --- heed.c --- */

/* What a TPSP answered goes into the statistics, and what it says about sending less is done. */
void delivery_heed(const struct delivery *delivery) __attribute__((nonnull));

/* Whether it says so. */
bool delivery_heeds(const struct delivery *delivery) __attribute__((nonnull));

/* --- record.c --- */

/* The final 2xx was read this very moment (relay_request.accepted): from here until the row is there, a kill
 * would send the message twice. */
void delivery_record_accepted(void *delivery, const struct outcome *outcome) __attribute__((nonnull));

/* Event row and retry ladder say what became of it. May turn the outcome: the last rung of the ladder into a
 * drop, a drop that cannot be kept into a deferral. */
void delivery_record(struct delivery *delivery) __attribute__((nonnull));

#endif
