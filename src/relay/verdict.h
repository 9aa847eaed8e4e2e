/*
 * verdict: what a reply of the server, or the lack of one, means for the message. Host trouble defers,
 * message trouble drops: only MAIL, RCPT and DATA answer for the message, and of those not the replies that
 * speak about our login or our permission to relay.
 */
#ifndef SENDPOST_RELAY_VERDICT_H
#define SENDPOST_RELAY_VERDICT_H

#include "base/outcome.h"
#include "net/transport.h"
#include "relay/relay.h"
#include "relay/reply.h"

/* A reply that is not the one that stage hoped for. peer: "smtp.example.net[192.0.2.1]:587". */
void verdict_reply(struct outcome *outcome_r, enum relay_stage stage, const struct reply *reply,
                   bool logged_in, const char *peer) __attribute__((nonnull));

/* The connection failed while stage waited for its reply. */
void verdict_transport(struct outcome *outcome_r, enum relay_stage stage, enum transport_status status,
                       const char *error, const char *peer) __attribute__((nonnull));

/* Everything was sent and the final reply did not come, or was none. */
void verdict_in_doubt(struct outcome *outcome_r, const char *why, const char *peer) __attribute__((nonnull));

#endif
