/*
 * conversation: an engine on one side of a local stream, the wire on the other. Towards the engine we play an SMTP
 * server of few words (greeting, a capability list of our own, replies reduced to their code); towards the TPSP we pass
 * the engine's commands, one at a time, after a look at each: no MAIL before a wanted login, the addresses
 * as they were asked for, the content exact (content.h), nothing unexpected.
 *
 * The wire's record decides what became of the message. Once a 2xx to the final dot was read, the message was accepted,
 * whatever happens to the engine or to us.
 */
#ifndef SENDPOST_RELAY_CONVERSATION_H
#define SENDPOST_RELAY_CONVERSATION_H

#include "relay/engine.h"
#include "relay/wire.h"

enum conversation_end {
    CONVERSATION_OVER, /* wire.outcome says how */
    /* The engine changed the message, or did not do as it was asked: nothing was delivered, another may do better. */
    CONVERSATION_ENGINE_FAILED,
};

/* From the login to the final reply. The wire is open. */
enum conversation_end conversation_run(struct wire *wire, const struct engine *engine)
    __attribute__((nonnull));

#endif
