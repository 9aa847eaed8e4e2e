/*
 * wire: our end of the SMTP session with a TPSP. It resolves, connects, negotiates TLS, reads the greeting
 * and the capabilities, and then passes commands one at a time, each with its deadline, keeping the server's
 * own words as the record by which a delivery is judged.
 *
 * A wire is good for one session, in which one delivery may follow another, and belongs to one thread.
 * Whatever fails, wire.outcome says what, and wire.stage where; nothing else needs to be asked.
 */
#ifndef SENDPOST_RELAY_WIRE_H
#define SENDPOST_RELAY_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "classify/replies.h"
#include "net/dns.h"
#include "net/tls.h"
#include "net/transport.h"
#include "relay/relay.h"
#include "relay/reply.h"

/* a command line, CRLF included; AUTH lines are the long ones (RFC 4954 section 4) */
#define WIRE_LINE_MAX 16384

/* What the server offers. */
struct wire_capabilities {
    bool starttls;
    bool size;
    uint64_t size_limit; /* 0: none given */
    bool eight_bit_mime;
    bool smtputf8;
    bool pipelining;
    bool auth_plain, auth_login, auth_scram_sha_256, auth_xoauth2, auth_oauthbearer;
    char auth_list[256]; /* as offered, for messages to people */
};

struct verdict_rules;

struct wire {
    const struct relay_request *request;
    const struct config_tpsp *tpsp;
    char host[256]; /* of the TPSP, without the dot at its end: the same for DNS, SNI and certificate */
    struct tls_peer tls_peer; /* the TPSP again, as TLS wants to know it */
    struct tls_contexts *tls;
    struct dns_resolver *resolver;
    struct transport transport;
    struct reply_parser parser; /* parser.reply is the last reply */
    struct wire_capabilities capabilities;
    void (*line_seen)(void *context, size_t index, const char *text, size_t length); /* of the next reply */
    const char *mechanism; /* the login to make: "PLAIN", "LOGIN", "XOAUTH2"; NULL: none */
    bool authenticated;    /* it is made */
    bool contacted;        /* a TCP connection was made */
    bool greeted;          /* and the server took it: 220 */
    bool usable;           /* in step with the server: the next command can be sent */
    bool content_begun;    /* of this delivery: the server wants it */
    bool reset_due;        /* resumed, and the server has not been told so yet */
    unsigned served;       /* deliveries before this one */
    enum relay_stage stage;
    int64_t stage_started_us;
    int64_t stage_deadline_ms;
    char peer[160];
    char tls_text[96];
    int64_t certificate_end_ms; /* of the server, clock_realtime_ms(); 0: it showed none */
    struct outcome outcome;
    struct verdict_rules *rules;
    struct reply_verdict said; /* of the reply that decided; .rule NULL when none did */
};

/* tls, resolver and rules outlive the wire. */
void wire_init(struct wire *wire, const struct relay_request *request, struct tls_contexts *tls,
               struct dns_resolver *resolver, struct verdict_rules *rules) __attribute__((nonnull));

/*
 * From resolving to the capabilities, under TLS where wanted, and the login. Each address of
 * the host is tried until one gets as far as the capabilities.
 */
bool wire_open(struct wire *wire) __attribute__((nonnull));

/*
 * Whether the session is at a point from which another delivery can begin: the last one got as far as MAIL,
 * the server is in step, has not said that it closes, and has not had enough of us.
 */
bool wire_can_stay(const struct wire *wire) __attribute__((nonnull));

/* The request may go; the wire can be resumed or closed. */
void wire_rest(struct wire *wire) __attribute__((nonnull));

/*
 * Begin another delivery to the same TPSP: RSET. Where the wire may run ahead (conversation_ahead.c), RSET
 * goes along with the first commands: reset_due. False: the session is over, and nothing of the delivery was
 * begun.
 */
bool wire_resume(struct wire *wire, const struct relay_request *request) __attribute__((nonnull));

/* RSET now, and its reply. */
bool wire_reset(struct wire *wire) __attribute__((nonnull));
/* The reply to RSET, which was sent; false: the session is over. */
bool wire_take_reset(struct wire *wire) __attribute__((nonnull));

/* Whether the commands of this delivery up to DATA may be sent without waiting for the reply to each. */
bool wire_may_run_ahead(const struct wire *wire, const struct relay_request *request)
    __attribute__((nonnull));

/*
 * QUIT where the session is in step, keep the TLS session, close. Its reply is awaited only for an observer;
 * the end of the connection where the TPSP counts connections (max-connections), for the server may count
 * this one until then.
 */
void wire_close(struct wire *wire) __attribute__((nonnull));

/* Until the server has closed its side after QUIT, for a moment at most. */
void wire_await_end(const struct wire *wire) __attribute__((nonnull));

/* A stage begins: its deadline runs from now. It ends with one of the two others, which tell the observer. */
void wire_stage_begin(struct wire *wire, enum relay_stage stage) __attribute__((nonnull));
void wire_stage_done(struct wire *wire, int smtp_code, const char *detail) __attribute__((nonnull));
/* The last reply refuses what the stage asked for: judged. Always returns false. */
bool wire_refused(struct wire *wire) __attribute__((nonnull));
/* wire.outcome is set. Always returns false. */
bool wire_stage_failed(struct wire *wire) __attribute__((nonnull));

/* The deadline for the next step of the current stage: command-timeout from now, within the attempt's. */
int64_t wire_deadline(const struct wire *wire) __attribute__((nonnull));

/*
 * Send one command line (CRLF included) and read the reply to wire.parser.reply. shown: what the trace shows
 * instead, for secrets; NULL: the line itself. False when there was no usable reply: then the stage has
 * failed.
 */
bool wire_command(struct wire *wire, const char *line, size_t length, const char *shown)
    __attribute__((nonnull(1, 2)));

/* Parts of wire_command() for those who send content in between. wire_write() reports nothing by itself. */
enum transport_status wire_write(struct wire *wire, const char *data, size_t length) __attribute__((nonnull));
bool wire_read_reply(struct wire *wire, enum transport_status *status_r, enum reply_progress *progress_r)
    __attribute__((nonnull));
/* Bytes came, or the connection ended, before we were through: judge what there is. Always returns false. */
bool wire_interrupted(struct wire *wire, enum transport_status write_status) __attribute__((nonnull));

/* Read a reply into wire.parser.reply by wire.stage_deadline_ms; its lack is no failure of the stage. */
bool wire_take_reply(struct wire *wire) __attribute__((nonnull));

/* Read a reply that the last command or the content asked for. False: the stage has failed. */
bool wire_await_reply(struct wire *wire) __attribute__((nonnull));

void wire_trace(const struct wire *wire, char who, const char *text, size_t length) __attribute__((nonnull));

#endif
