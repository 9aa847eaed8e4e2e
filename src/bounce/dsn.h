/*
 * dsn: one message that came to a bounce address is judged: is it a report of failure, about which message
 * and recipients, and is each address bad (hard) or did something else fail (soft)?
 *
 * What has RFC 3464 fields is read from them, everything else from its prose. A notice of delay is soft,
 * whatever it says. Of one recipient's mail that went on to several addresses the best counts: it is hard
 * when each of them is. A feedback report is read by bounce/complaint.h. Read receipts, confirmations,
 * auto-replies and ordinary mail are no failures.
 */
#ifndef SENDPOST_BOUNCE_DSN_H
#define SENDPOST_BOUNCE_DSN_H

#include <stdint.h>

#include "base/uuid.h"
#include "classify/classify.h"
#include "event/event.h"

/* One recipient who failed, or who has complained. */
struct dsn_recipient {
    char address[ADDRESS_SIZE]; /* whom we sent to, as the report has it; "" when it names none */
    /* where it went from there (Final-Recipient); where that is not said, address */
    char final[ADDRESS_SIZE];
    bool hard;
    bool delayed; /* still being tried */
    int smtp_code;
    char status[OUTCOME_ENHANCED_SIZE];
    char remote[256];                  /* the host that refused it; "" when the report names none */
    char text[EVENT_DESCRIPTION_SIZE]; /* the remote end's words */
    const char *reason, *rule;         /* why hard or soft; live as long as the rules */
};

/* The less the better: of several things said of one, the best counts. */
static inline int dsn_badness(const struct dsn_recipient *said)
{
    return said->hard ? 2 : said->delayed ? 0 : 1;
}

struct dsn {
    struct dsn_recipient *recipients; /* none: no failure; one for each address */
    size_t count;
    bool reached;               /* somebody whom it names has the message: delivered, relayed, expanded */
    bool complaint;             /* they complain (bounce/complaint.h); nothing has failed */
    const char *why_none;       /* a constant: "a read receipt"; NULL when there are recipients */
    char message_id[UUID_SIZE]; /* from the returned message; "" when it is not there */
    int64_t date_ms;            /* of the report; 0: not known */
};

struct dsn_reader;

/* rules judge the failures and outlive the reader. Not for several threads. NULL with *error_r set when our
 * own wordings cannot be compiled. */
struct dsn_reader *dsn_open(const struct classify_rules *rules, struct outcome *error_r)
    __attribute__((nonnull));
void dsn_close(struct dsn_reader *reader); /* NULL is fine */

/*
 * sender: envelope sender of the report, "" for the null sender; recipient: whom it came to. dsn_clear() the
 * result. Bounded in time and memory on any input; of a message only the first MIME_MESSAGE_MAX bytes count.
 */
void dsn_read(const struct dsn_reader *reader, const char *bytes, size_t length, const char *sender,
              const char *recipient, struct dsn *report_r) __attribute__((nonnull));
void dsn_clear(struct dsn *report) __attribute__((nonnull));

#endif
