/*
 * track: follows messages through the log, line by line, and tells what became of each recipient of those
 * that carry a SendPost UUID. Knows the rules, and keeps nothing but the table of correlations; what has to
 * be remembered of a recipient, and what becomes an event, is told to the ledger as notes.
 *
 * A UUID is learnt, the better source first, from the header_checks line of X-Sendpost-Message-UUID, from a
 * VERP sender bounces+UUID+SUBACCOUNT@…, from the lines of sendpost-pipe, or from the message that a content
 * filter or an alias made this one of.
 *
 * No delivery: an address probe; the hand-over to a filter ("250 … queued as X" where X has been seen in this
 * log: from a loopback address, a socket or a port that no mail server has, or from a private address that is
 * X's client) and the forwarding by an alias ("forwarded as X"); the lines of our own transport, because the
 * pipe has reported them. A filter's 2xx that says that the message was thrown away is TRACK_DISCARDED.
 */
#ifndef SENDPOST_AGENT_TRACK_H
#define SENDPOST_AGENT_TRACK_H

#include "agent/correlation.h"
#include "agent/senders.h"
#include "agent/trust.h"
#include "classify/classify.h"
#include "postlog/postfix_log.h"

enum track_verb {
    /* a recipient's fate; without uuid it has to wait for TRACK_ADOPTED */
    TRACK_DELIVERED,
    TRACK_BOUNCED,
    TRACK_DEFERRED, /* remembered until another fate or TRACK_FORGOTTEN */
    TRACK_DISCARDED,
    /* a recipient's fate that the pipe reports itself */
    TRACK_OWN_DEFERRED, /* remembered, too: the message may expire in the queue */
    TRACK_OWN_SETTLED,
    TRACK_OWN_KILLED, /* pipe(8) had to end it, and bounced: then nobody else reports that */
    /* all that is remembered of the message */
    TRACK_EXPIRED,   /* those deferred are given up by the MTA */
    TRACK_ADOPTED,   /* the UUID of those that waited has turned up */
    TRACK_MOVED,     /* the message goes on as other_key */
    TRACK_FORGOTTEN, /* the message is gone */
};

struct track_note {
    enum track_verb verb;
    uint64_t key;                        /* of the message in the queue */
    uint64_t other_key;                  /* TRACK_MOVED */
    const unsigned char *uuid;           /* 16 bytes, or NULL: not known */
    int64_t time_ms;                     /* by the log */
    const struct postfix_log_line *line; /* NULL with TRACK_FORGOTTEN */
    struct log_slice sender;             /* length 0: not known */
    bool noted;                          /* something is remembered of the message */
};

struct track_counts {
    uint64_t lines;      /* all */
    uint64_t postfix;    /* written by Postfix */
    uint64_t broken;     /* begin like a delivery line and are none */
    uint64_t deliveries; /* fates told */
    uint64_t own[4];     /* of sendpost-pipe, by enum postfix_log_status */
    /* deliveries whose UUID was given by a stranger and proves nothing */
    uint64_t untrusted;
    /* deliveries to the outside without a UUID; also those for which one may still come */
    uint64_t uncorrelated;
};

struct track {
    struct correlation *table;
    struct senders *senders;              /* NULL: events do without */
    const struct classify_rules *filters; /* data/filters; NULL: no 2xx is a discard */
    const struct trust *trust;
    bool filtered; /* a message was handed over to a filter since the start */
    struct track_counts counts;
    int64_t now_ms;    /* clock_realtime_ms(), of late; 0: not known, the log's time is */
    int64_t latest_ms; /* the log's time, as far as it has come */
    uint32_t heard_s;  /* by which the table reckons: see track_begin() */
    /* false: stop, the chunk will be read again */
    bool (*note)(void *context, const struct track_note *note);
    void *context;
};

/*
 * After the table was loaded; last_ms: the log's time where it goes on, 0: not known. The age of what is in
 * the table is counted in time that was heard to pass: a machine may boot with its clock years back, and when
 * it is set right no message has been silent for years.
 */
void track_begin(struct track *track, int64_t last_ms) __attribute__((nonnull));

/* One line at a time, in the log's order. False when a note was not taken. */
bool track_line(struct track *track, const struct postfix_log_line *line, int64_t time_ms)
    __attribute__((nonnull));

/* Forget the dead; call it now and then, with the log's time. */
bool track_bury(struct track *track, int64_t time_ms) __attribute__((nonnull));

#endif
