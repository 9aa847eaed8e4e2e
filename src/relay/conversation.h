/*
 * conversation: an engine on one side of a local stream, the wire on the other. Towards the engine we play an
 * SMTP server of few words (greeting, a capability list of our own, replies reduced to their code); towards
 * the TPSP we pass the engine's commands, one at a time, after a look at each: no MAIL before a wanted login,
 * the addresses as they were asked for, the content exact (content.h), nothing unexpected.
 *
 * The wire's record decides what became of the message. Once a 2xx to the final dot was read, the message was
 * accepted, whatever happens to the engine or to us.
 *
 * A 2xx counts as the reply to the final dot only if it cannot be older: nothing had come when the dot was
 * sent, nothing came along with it, and the server's TCP had acknowledged the dot when it was in our hands. A
 * server that replies before it has the whole message is thus not believed, and no honest one is doubted: the
 * segment that carries its reply acknowledges the dot. What remains is a server that has the whole message in
 * its TCP's buffer, the dot included, and says 2xx without having read it. Nothing tells it from one that has
 * read the message and throws it away. (A command behind the dot, whose reply would have to follow, could
 * only count the replies of a server that still does its accounts; it would cost a round trip, and put in
 * doubt what is accepted by servers that close the connection early.)
 */
#ifndef SENDPOST_RELAY_CONVERSATION_H
#define SENDPOST_RELAY_CONVERSATION_H

#include "relay/engine.h"
#include "relay/wire.h"

enum conversation_end {
    CONVERSATION_OVER, /* wire.outcome says how */
    /* The engine changed the message, or did not do as it was asked: nothing was delivered, another may do
       better. */
    CONVERSATION_ENGINE_FAILED,
};

/* From the login to the final reply. The wire is open. */
enum conversation_end conversation_run(struct wire *wire, const struct engine *engine)
    __attribute__((nonnull));

#endif
