/*
 * outcome: how a delivery, or a step of one, ended. The one value in which an error travels up to the place
 * that turns it into an exit status, a log line and an event.
 *
 * An outcome is a plain value without pointers: copy it freely, keep it as long as you like, share it between
 * threads. Text is one line of printable UTF-8: outcome_set() replaces control characters (also CR and LF of
 * an SMTP reply) by spaces.
 *
 * Enhanced status codes are those of RFC 3463; the class digit always agrees with the class: 2 for
 * OUTCOME_DELIVERED, 4 for OUTCOME_DEFERRED, 5 for OUTCOME_DROPPED. A remote code that disagrees (5.x.y
 * behind a 4xx) is corrected.
 */
#ifndef SENDPOST_BASE_OUTCOME_H
#define SENDPOST_BASE_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>

enum outcome_class {
    OUTCOME_DELIVERED, /* the TPSP has taken responsibility for the message */
    OUTCOME_DEFERRED,  /* try again later; Postfix keeps the message */
    OUTCOME_DROPPED,   /* given up for good; an event says why */
};

/*
 * Whose trouble it is: decides about failover, retry ladder and event. What is neither the message's nor the
 * TPSP's silence waits, however long it lasts, and is told loudly.
 */
enum outcome_cause {
    CAUSE_NONE, /* delivered */
    /* Ours: configuration, secrets, AUTH, TLS verification, missing STARTTLS, unknown host name, resolver, no
       route, network or local port, store, memory. No attempt is counted, no event is made. */
    CAUSE_OURS,
    /* The TPSP is out of reach: refused, timed out, connection lost. Counts in the retry ladder. */
    CAUSE_UNREACHABLE,
    CAUSE_ACCOUNT, /* the TPSP refuses the account: no attempt, no event, another TPSP may do better */
    CAUSE_HOST,    /* ... this host of ours */
    CAUSE_SESSION, /* ... this session: what was said in it, or its state */
    CAUSE_MESSAGE, /* its verdict on this message, sender or recipient: 4xx counts in the ladder, 5xx drops */
    CAUSE_POLICY,  /* our policy judged it: suppression, return path, validation, retry ladder */
    CAUSE_RATE,    /* a rate limit or a slow-down: no attempt, no event */
    CAUSE_IN_DOUBT, /* everything was sent, the final reply never came: may have been accepted */
};

#define OUTCOME_ENHANCED_SIZE 12 /* "5.999.999" and its end */
#define OUTCOME_TEXT_SIZE 1024

struct outcome {
    enum outcome_class class;
    enum outcome_cause cause;
    int smtp_code;                        /* reply code of the remote end; 0 when none was received */
    char enhanced[OUTCOME_ENHANCED_SIZE]; /* always set */
    char text[OUTCOME_TEXT_SIZE]; /* what happened, to what, and what to do; or the remote end's own words */
};

/* Set every field. A NULL or malformed enhanced code becomes "2.0.0", "4.0.0" or "5.0.0". */
void outcome_set(struct outcome *outcome_r, enum outcome_class class, enum outcome_cause cause, int smtp_code,
                 const char *enhanced, const char *format, ...)
    __attribute__((format(printf, 6, 7), nonnull(1, 6)));

/* A TPSP out of reach, or that refuses the account, this host or this session: nothing was said of the
 * message, and another TPSP may take it. */
bool outcome_of_tpsp(const struct outcome *outcome) __attribute__((nonnull));

/* Trouble of ours: deferred, CAUSE_OURS. */
void outcome_local(struct outcome *outcome_r, const char *enhanced, const char *format, ...)
    __attribute__((format(printf, 3, 4), nonnull(1, 3)));

/*
 * An SMTP reply as it was received ("550 5.1.1 no such user", several lines joined) becomes an outcome: 2xx
 * delivered, 4xx deferred, 5xx dropped, anything else deferred as a protocol error. The caller names the
 * cause. The enhanced code is read from the text (RFC 2034 section 4) when it is well-formed and its class
 * agrees; text keeps the whole reply after the reply code.
 */
void outcome_from_reply(struct outcome *outcome_r, enum outcome_cause cause, int smtp_code, const char *text,
                        size_t text_length) __attribute__((nonnull));

/* Length of the enhanced status code at the start of text ("5.1.1 no" is 5), 0 when there is none (RFC 3463
 * section 2). */
size_t outcome_enhanced_length(const char *text, size_t text_length) __attribute__((nonnull));

#endif
