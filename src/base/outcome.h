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

#include <stddef.h>

enum outcome_class {
    OUTCOME_DELIVERED, /* the TPSP has taken responsibility for the message */
    OUTCOME_DEFERRED,  /* try again later; Postfix keeps the message */
    OUTCOME_DROPPED,   /* given up for good; an event says why */
};

/* Who or what answers for the outcome: decides about failover, retry ladder and event. */
enum outcome_cause {
    CAUSE_NONE,     /* delivered */
    CAUSE_LOCAL,    /* trouble on our side: no attempt is counted, no event is made */
    CAUSE_HOST,     /* the TPSP is unreachable or refuses us: another one may do better */
    CAUSE_MESSAGE,  /* the TPSP judged this message or this recipient */
    CAUSE_POLICY,   /* our policy judged it: suppression, return path, validation, retry ladder */
    CAUSE_RATE,     /* a rate limit: no attempt, no event */
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

/* Trouble on our own side: deferred, CAUSE_LOCAL. */
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
