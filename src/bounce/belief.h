/*
 * belief: is a report about a message of ours, and about which recipient of it? Anybody can write a report,
 * so what it says of itself counts for nothing.
 *
 * A report is believed when its message UUID proves itself (base/uuid_proof.h): for the recipient that the
 * store knows, else for the one that the report says was asked for, else for the one that failed in the end.
 * Then it is about that recipient alone, whoever else it names: the mail was forwarded, and he is as bad as
 * the best of them. A UUID that proves nothing (it came in from outside, or was made without a key) is
 * believed of those recipients that the store knows it with, if the report names them. Not of one who is not
 * named, though the store may know no other: such a UUID may stand for several recipients, some of them sent
 * to by other hosts, or another way; any of them has it, and could stop the mail of another. A bounce address
 * has to be one of ours besides.
 */
#ifndef SENDPOST_BOUNCE_BELIEF_H
#define SENDPOST_BOUNCE_BELIEF_H

#include "bounce/dsn.h"
#include "config/config.h"
#include "event/event.h"
#include "store/store.h"

/* One recipient of ours that failed. */
struct belief_failure {
    const struct dsn_recipient *said; /* lives as long as report and belief */
    char recipient[ADDRESS_SIZE];     /* whom the message was given to */
    bool known;                       /* sent: what the store has of it */
    struct event sent;
    bool is_new;     /* bounce_event_store() has made an event of it that was not there before */
    bool suppressed; /* it, or complaint_store(), has changed the suppression list */
};

struct belief {
    char message_id[UUID_SIZE]; /* "": the report names none */
    const char *why_not;        /* a constant; NULL: believed, and there are failures */
    struct belief_failure *failures;
    size_t count;
    /* what is said of others, where that is hard and somebody has the message; NULL: not so */
    struct dsn_recipient *softened;
};

/* address: whom the report came to. The report has recipients. False with *error_r set when the store cannot
 * tell. belief_clear() in any case. Time and memory are bounded, whatever the report holds. */
bool belief_form(struct belief *belief_r, struct store *store, const struct config *config,
                 const char *address, const struct dsn *report, struct outcome *error_r)
    __attribute__((nonnull));
void belief_clear(struct belief *belief) __attribute__((nonnull));

#endif
