/*
 * trust: may whoever handed in a message say which SendPost message it is? Header field and bounce address
 * are written by the client, so they count from those only who may send through this Postfix: clients of
 * trusted-senders, or of Postfix's mynetworks, clients that have logged in, and users of this machine. From
 * others a UUID counts where it proves itself for the recipient, and the mail leaves; mail that is delivered
 * here for a stranger never counts.
 */
#ifndef SENDPOST_AGENT_TRUST_H
#define SENDPOST_AGENT_TRUST_H

#include "agent/mta.h"
#include "base/uuid_proof.h"
#include "config/config.h"
#include "postlog/postfix_log.h"

enum trust_origin {
    TRUST_UNKNOWN, /* the log does not tell, or it cannot be told from the configuration */
    TRUST_SENDER,
    TRUST_STRANGER,
    /* a sender, or a filter that gives back anybody's mail: the filter's answer to that, which may be logged
     * later, will tell */
    TRUST_UNDECIDED,
};

struct trust { /* borrows all */
    const struct config *config;
    const struct mta *mta;
};

/* client: "host[address]", also with a port; sasl: it has logged in. */
enum trust_origin trust_client(const struct trust *trust, struct log_slice client, bool sasl)
    __attribute__((nonnull));

/* A line of one recipient, whose message was handed in by origin: does its UUID count? */
bool trust_uuid(const struct trust *trust, enum trust_origin origin, const unsigned char uuid[16],
                const struct postfix_log_line *line) __attribute__((nonnull));

#endif
