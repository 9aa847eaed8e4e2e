/* What conversation.c and conversation_data.c, its part behind DATA, share. */
#ifndef SENDPOST_RELAY_CONVERSATION_PRIVATE_H
#define SENDPOST_RELAY_CONVERSATION_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/engine.h"
#include "relay/wire.h"

enum conversation_next { CONVERSATION_GO_ON, CONVERSATION_END, CONVERSATION_END_ENGINE_FAILED };

struct conversation {
    struct wire *wire;
    const struct engine *engine;
    struct transport local; /* our end of the local stream */
    bool mail_accepted, rcpt_accepted;
    bool foretold;        /* the engine has said all that it has to say: see conversation_run() */
    bool answered;        /* the engine was told the final reply */
    bool ahead;           /* RCPT and DATA are sent, too */
    char tell_error[160]; /* why the engine could not be told a reply; empty: it could */
    char rcpt_sent[512];
    size_t length;
    char line[WIRE_LINE_MAX + 1]; /* last: the engine's command with its CRLF, NUL-terminated */
};

/* The engine did wrong: the outcome says what. Returns CONVERSATION_END_ENGINE_FAILED. */
enum conversation_next conversation_engine_trouble(struct conversation *conversation, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(1, 2)));

/* Tell the engine a reply of which it needs the code alone. */
void conversation_tell_code(struct conversation *conversation, int code) __attribute__((nonnull));

/* The server refused the current command: judged by its reply. Returns CONVERSATION_END. */
enum conversation_next conversation_refused(struct conversation *conversation) __attribute__((nonnull));

/* Whether RCPT and DATA can go along with MAIL. */
bool conversation_may_run_ahead(const struct conversation *conversation) __attribute__((nonnull));

/* Send the engine's MAIL with all that follows up to DATA, and read the reply to MAIL. CONVERSATION_END:
 * there was none. */
enum conversation_next conversation_run_ahead(struct conversation *conversation) __attribute__((nonnull));

/* Whether the engine's RCPT is the one that was sent. */
bool conversation_rcpt_is_as_sent(const struct conversation *conversation) __attribute__((nonnull));

/* After a refusal at the wire's stage: read the replies to what was sent behind it. The wire is usable again
 * when they came and nothing is under way. */
void conversation_take_rest(struct conversation *conversation) __attribute__((nonnull));

/* DATA, the content, the final reply. */
enum conversation_next conversation_data(struct conversation *conversation) __attribute__((nonnull));

#endif
