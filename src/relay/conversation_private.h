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
    bool answered; /* the engine was told the final reply */
    size_t length;
    char line[WIRE_LINE_MAX + 1]; /* the engine's command with its CRLF, NUL-terminated */
};

/* The engine did wrong: the outcome says what. Returns CONVERSATION_END_ENGINE_FAILED. */
enum conversation_next conversation_engine_trouble(struct conversation *conversation, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(1, 2)));

/* Tell the engine a reply of which it needs the code alone. */
void conversation_tell_code(struct conversation *conversation, int code) __attribute__((nonnull));

/* The server refused the current command: judged by its reply. Returns CONVERSATION_END. */
enum conversation_next conversation_refused(struct wire *wire) __attribute__((nonnull));

/* DATA, the content, the final reply. */
enum conversation_next conversation_data(struct conversation *conversation) __attribute__((nonnull));

#endif
