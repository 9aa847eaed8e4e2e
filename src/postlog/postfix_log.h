/*
 * postfix_log: one line of a Postfix log becomes one struct. The agent's hot path, over bytes that strangers
 * can influence: a single pass from left to right, no copy, no allocation, no regular expression, nothing
 * read beyond the length given.
 *
 * What may stand before the message is told in log_prefix.h. The tag is SYSLOG_NAME/PROGRAM with any
 * syslog_name. NUL bytes before a line, as a crash leaves them, are passed over.
 *
 * A line's meaning is decided by its beginning only (tag, queue id, first keyword), which Postfix writes
 * itself. Subjects, replies and addresses come after it and can never start a field that was not expected
 * there: a "status=sent" inside a header, a reply or a quoted address changes nothing.
 *
 * Slices point into the line; an absent field has length 0 and at == NULL. Thread-safe: no state.
 */
#ifndef SENDPOST_POSTLOG_POSTFIX_LOG_H
#define SENDPOST_POSTLOG_POSTFIX_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/outcome.h"

struct log_slice {
    const char *at;
    size_t length;
};

enum postfix_log_kind {
    POSTFIX_LOG_FOREIGN,  /* not written by Postfix */
    POSTFIX_LOG_OTHER,    /* Postfix, and of no concern to us */
    POSTFIX_LOG_BROKEN,   /* begins like a delivery line and is none: cut, or garbage */
    POSTFIX_LOG_BORN,     /* smtpd "client=", pickup "uid=": a new message under this queue id */
    POSTFIX_LOG_CLEANUP,  /* cleanup "message-id=" */
    POSTFIX_LOG_UUID,     /* header_checks INFO or WARN line of X-Sendpost-Message-UUID */
    POSTFIX_LOG_ACTIVE,   /* qmgr "from=<…>, size=…, nrcpt=… (queue active)" */
    POSTFIX_LOG_EXPIRED,  /* qmgr "from=<…>, status=expired, returned to sender", also force-expired */
    POSTFIX_LOG_REMOVED,  /* qmgr or postsuper "removed" */
    POSTFIX_LOG_DELIVERY, /* "to=<…>, … status=…": one recipient, one attempt */
    POSTFIX_LOG_OWN,      /* the same, by sendpost-pipe itself */
};

enum postfix_log_status {
    POSTFIX_STATUS_OTHER, /* a word that we do not know; deliverable, undeliverable (address probes) */
    POSTFIX_STATUS_SENT,
    POSTFIX_STATUS_BOUNCED,
    POSTFIX_STATUS_DEFERRED, /* also SOFTBOUNCE (soft_bounce = yes): Postfix keeps the message */
};

struct postfix_log_line {
    enum postfix_log_kind kind;
    struct log_slice stamp;   /* as written; log_time_parse() reads it */
    struct log_slice host;    /* the machine's name in the prefix */
    struct log_slice name;    /* syslog_name: "postfix", "postfix-out", "postfix/submission" */
    struct log_slice program; /* "smtp", "qmgr", …; "" where the syslog daemon has cut the tag */
    struct log_slice queue_id;
    struct log_slice words; /* what follows the queue id */

    /* BORN, ACTIVE, EXPIRED, UUID: envelope sender ("" with at != NULL is the null sender) */
    struct log_slice from;
    struct log_slice client;  /* BORN by smtpd, UUID: "host[address]"; UUID also "local" */
    struct log_slice sasl;    /* BORN by smtpd: the name that the client has logged in with */
    struct log_slice before;  /* BORN by smtpd: the queue id before a filter that uses XFORWARD */
    struct log_slice passed;  /* BORN by smtpd: the client before that filter */
    struct log_slice orig_id; /* BORN by pickup after "postsuper -r": the queue id before */
    struct log_slice uuid;    /* UUID: well-formed; OWN: where it is well-formed */

    /* DELIVERY and OWN */
    struct log_slice to, orig_to, relay, delay, delays, tls, dsn, status_word, reason;
    enum postfix_log_status status;
};

/* The line, without its line end, into *line_r; every field is set. */
void postfix_log_parse(const char *line, size_t length, struct postfix_log_line *line_r)
    __attribute__((nonnull));

/* The same for a log that has its prefix in fields of its own (the journal): tag is SYSLOG_IDENTIFIER. stamp
 * and host stay empty. */
void postfix_log_parse_message(const char *tag, size_t tag_length, const char *message, size_t length,
                               struct postfix_log_line *line_r) __attribute__((nonnull));

/* What the remote end said, from the text in parentheses behind status=. */
struct postfix_log_reply {
    int code;                             /* 0: no SMTP reply in it */
    char enhanced[OUTCOME_ENHANCED_SIZE]; /* the reply's own, else dsn=, else "" */
    struct log_slice text;                /* behind the code, without Postfix's own remarks */
};
void postfix_log_reply(const struct postfix_log_line *line, struct postfix_log_reply *reply_r)
    __attribute__((nonnull));

/* The queue id in "250 2.0.0 Ok: queued as X" or local(8)'s "forwarded as X"; length 0 when there is none. */
struct log_slice postfix_log_queued_as(const struct postfix_log_line *line) __attribute__((nonnull));

#endif
