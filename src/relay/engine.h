/*
 * engine: the SMTP engines behind relay_send(), what each can carry, and the choice between them.
 *
 * An engine speaks SMTP as a client on one end of a local stream, whose other end is the conversation
 * (conversation.h). It never touches the network, and what it thinks of the outcome decides nothing.
 */
#ifndef SENDPOST_RELAY_ENGINE_H
#define SENDPOST_RELAY_ENGINE_H

#include <stdbool.h>

#include "relay/relay.h"

/* What a delivery asks of its engine beyond plain SMTP. */
enum engine_need {
    ENGINE_NEED_SMTPUTF8 = 1 << 0,     /* an address that is not ASCII */
    ENGINE_NEED_EXACT_HEADER = 1 << 1, /* a header that libESMTP would alter */
    ENGINE_NEED_LONG_LINES = 1 << 2,   /* lines that libESMTP would keep in memory as a whole */
};

struct engine_job {
    int stream; /* the engine's end; it closes it */
    const struct relay_request *request;
    bool eight_bit; /* declare BODY=8BITMIME */
    /* every reply lies in the stream already, and there is room in it for all that is to be said */
    bool foretold;
    bool accepted;  /* out: the engine believes that the message was accepted */
    char says[160]; /* out: its last word, for the log */
};

struct engine {
    const char *name;
    unsigned serves;                     /* the needs it can serve */
    bool takes_foretold;                 /* may be told every reply beforehand */
    void (*run)(struct engine_job *job); /* to its end; in a thread of its own unless foretold */
};

extern const struct engine engine_esmtp;
extern const struct engine engine_curl;

/* What this delivery needs. */
unsigned engine_needs(const struct relay_request *request) __attribute__((nonnull));

/*
 * The engine for these needs: the first of libESMTP, libcurl that serves them all. A configured engine goes
 * first, but it is a preference: that every byte of the message arrives unchanged weighs more, and deferring
 * a message for ever because of its header would help nobody. Never NULL.
 */
const struct engine *engine_choose(enum config_engine configured, unsigned needs)
    __attribute__((returns_nonnull));

#endif
