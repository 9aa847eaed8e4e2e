/*
 * verdict: what a reply of the server, or the lack of one, means for the message. Whose trouble a refusal is
 * says the table of classify/replies.h: the message's is its own verdict, everything else defers.
 */
#ifndef SENDPOST_RELAY_VERDICT_H
#define SENDPOST_RELAY_VERDICT_H

#include "base/outcome.h"
#include "classify/replies.h"
#include "net/transport.h"
#include "relay/relay.h"
#include "relay/reply.h"

/*
 * The rules, read when the first refusal comes. config_path: the configuration beside which the postmaster's
 * own rules may lie; NULL: the built-in ones alone. Belongs to one thread.
 */
struct verdict_rules;
struct verdict_rules *verdict_rules_new(const char *config_path) __attribute__((returns_nonnull));
void verdict_rules_free(struct verdict_rules *rules); /* NULL is fine */

struct verdict_facts {
    const struct relay_request *request;
    enum relay_stage stage;
    bool content; /* RELAY_DATA: the reply is to the content, not to the command */
    bool logged_in;
    const char *peer; /* "smtp.example.net[192.0.2.1]:587" */
};

/* A reply that is not the one that stage hoped for. Strings in *said_r live as long as the rules. */
void verdict_reply(struct outcome *outcome_r, struct verdict_rules *rules, const struct verdict_facts *facts,
                   const struct reply *reply, struct reply_verdict *said_r) __attribute__((nonnull));

/* The connection failed while stage waited for its reply. */
void verdict_transport(struct outcome *outcome_r, enum relay_stage stage, enum transport_status status,
                       const char *error, const char *peer) __attribute__((nonnull));

/* Everything was sent and the final reply did not come, or was none. */
void verdict_in_doubt(struct outcome *outcome_r, const char *why, const char *peer) __attribute__((nonnull));

#endif
