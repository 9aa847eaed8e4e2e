/*
 * relay: one message, one recipient, to one TPSP. One interface over two engines (libESMTP, libcurl), which
 * both speak over a wire of ours (relay/wire.h) that owns connection, TLS, deadlines and the record of what
 * the server said.
 *
 * A relay_session belongs to one thread. It is made to be kept: it may hold connections and the TLS ticket
 * cache between deliveries.
 */
#ifndef SENDPOST_RELAY_RELAY_H
#define SENDPOST_RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/outcome.h"
#include "classify/replies.h"
#include "config/config.h"
#include "net/dns.h"
#include "oauth/oauth.h"

/*
 * The message as it is to be sent: CRLF line ends, not dot-stuffed, injected header lines included. Owned by
 * the caller; may be read any number of times.
 */
struct relay_message {
    const char *header; /* the whole header section with the blank line that ends it; NUL-free not promised */
    size_t header_length;
    uint64_t size;  /* bytes of header and body */
    bool eight_bit; /* some byte is above 127: BODY=8BITMIME */
    /* Read up to size bytes of the whole message (header and body) from offset; 0 at its end, -1 with errno
     * set. */
    ssize_t (*read_at)(void *context, uint64_t offset, char *buffer, size_t size);
    void *context;
};

enum relay_stage {
    RELAY_RESOLVE,
    RELAY_CONNECT,
    RELAY_TLS, /* implicit TLS */
    RELAY_GREETING,
    RELAY_EHLO,
    RELAY_STARTTLS,
    RELAY_AUTH,
    RELAY_MAIL,
    RELAY_RCPT,
    RELAY_DATA,
    RELAY_QUIT,
    RELAY_STAGE_COUNT
};

/* "resolve", "connect", "tls", … as the connectivity test names them. */
const char *relay_stage_name(enum relay_stage stage) __attribute__((returns_nonnull));

struct relay_step {
    enum relay_stage stage;
    bool ok;
    int64_t duration_us;
    int smtp_code;      /* 0: none */
    const char *detail; /* what the server said, or what was negotiated; valid during the call */
};

struct relay_request {
    const struct config_tpsp *tpsp;
    const char *token;  /* of an OAuth login; NULL: relay_send() sees to it */
    const char *sender; /* "" is the null sender */
    const char *recipient;
    const struct relay_message *message;
    int64_t deadline_ms; /* clock_monotonic_ms() by which the attempt ends, whatever its stage */
    /* That must be left of it for the answer to the final dot, or it is not sent; where command-timeout is
     * shorter, that. */
    int64_t answer_ms;
    unsigned session_limit; /* messages that the TPSP takes in one session, as learnt; 0: not known */
    FILE *trace;            /* SMTP dialogue, secrets masked; NULL: none */
    void (*observe)(void *context, const struct relay_step *step); /* NULL: none */
    void *observe_context;
    /* Called right before the final dot is sent: false, with *outcome_r set, when it must not be; then the
     * connection is dropped and the server forgets the message. NULL: none. */
    bool (*before_dot)(void *context, struct outcome *outcome_r);
    /* Called the moment the final 2xx was read, before anything else is sent or done, to put it on record;
     * NULL: none. */
    void (*accepted)(void *context, const struct outcome *outcome);
    void *context; /* of these two */
};

/* What a kept connection refused and a new one was asked again. */
struct relay_kept_refusal {
    struct outcome outcome;
    enum relay_stage stage;
    struct reply_verdict said; /* .rule NULL: it did not happen, or the new one said the same */
    unsigned taken;            /* messages of the session before */
};

struct relay_result {
    struct outcome outcome;
    enum relay_stage stage; /* where it ended */
    /* Whose trouble the reply was that decided; .rule NULL: no reply did. Its strings live as long as the
     * session. */
    struct reply_verdict said;
    const char *engine;      /* "libesmtp", "libcurl", "" when none was reached; constant string */
    bool contacted;          /* there was a TCP connection: a rate slot was used */
    bool greeted;            /* and the server took it: 220 */
    unsigned connection_use; /* which delivery of its connection it was, from 1 */
    struct relay_kept_refusal kept;
    char peer[160];             /* "smtp.example.net[192.0.2.1]:587", "" when there was none */
    char tls[96];               /* "TLSv1.3 TLS_AES_256_GCM_SHA384 resumed", "" without TLS */
    char logins[256];           /* the mechanisms that the server offers, "PLAIN XOAUTH2"; "" before EHLO */
    int64_t certificate_end_ms; /* until when the server's is good, clock_realtime_ms(); 0: it showed none */
};

struct relay_session;

/*
 * state_dir: where the TLS ticket cache lives (directory tls-sessions, files of mode 0600); NULL: no cache.
 * config_path: the configuration beside which the postmaster's rules for replies may lie; NULL: ours alone.
 * resolver outlives the session.
 */
struct relay_session *relay_open(const char *state_dir, const char *config_path,
                                 struct dns_resolver *resolver) __attribute__((returns_nonnull, nonnull(3)));
void relay_close(struct relay_session *session); /* NULL is fine */

/*
 * Keep the connection of a delivery for the next one to the same TPSP, logged in as it is, for idle_ms at
 * most; 0: keep none, and end those that are kept. A new session keeps none. Belongs to processes that
 * deliver again soon.
 */
void relay_keep_connections(struct relay_session *session, int64_t idle_ms) __attribute__((nonnull));

/* Whether a connection to this TPSP is kept, and its end. */
bool relay_keeps(const struct relay_session *session, const struct config_tpsp *tpsp)
    __attribute__((nonnull));
void relay_end_kept(struct relay_session *session, const struct config_tpsp *tpsp) __attribute__((nonnull));

/* For TPSPs with an oauth section: their tokens come from there; it outlives the session. A token that the
 * server refuses is renewed once, and the login tried again. */
void relay_use_oauth(struct relay_session *session, struct oauth *oauth) __attribute__((nonnull));

/* Always fills *result_r. Never blocks beyond request->deadline_ms. Without a message (request->message NULL)
 * the session is tried alone: connection, TLS, EHLO, login and QUIT, no MAIL; sender and recipient are not
 * looked at, and OUTCOME_DELIVERED says that all of it went well. */
void relay_send(struct relay_session *session, const struct relay_request *request,
                struct relay_result *result_r) __attribute__((nonnull));

#endif
