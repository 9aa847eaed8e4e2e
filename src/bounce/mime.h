/*
 * mime: a report, as it came in, becomes the few texts that say what failed. GMime takes the MIME structure
 * apart, undoes transfer encodings and turns every charset into UTF-8; of the result only bounded pieces are
 * kept.
 *
 * Bounded on any input: the caller keeps at most MIME_MESSAGE_MAX bytes of a message, of those at most
 * MIME_PARTS_MAX parts are looked at, and each text is cut at MIME_TEXT_MAX bytes. What matters comes early
 * in every report known.
 */
#ifndef SENDPOST_BOUNCE_MIME_H
#define SENDPOST_BOUNCE_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIME_MESSAGE_MAX (1u << 20)
#define MIME_TEXT_MAX (128u << 10)
#define MIME_PARTS_MAX 200

/* All strings are NUL-terminated UTF-8 as far as the message was, "" when there is none. */
struct mime_report {
    char *notice;   /* what the mail system says in words */
    char *fields;   /* message/delivery-status, RFC 3464 section 2 */
    char *feedback; /* message/feedback-report, RFC 5965 section 3.1 */
    char *returned; /* header of the returned message */

    char *subject, *from, *to, *return_path, *failed_recipients, *auto_submitted;
    int64_t date_ms; /* 0: none */

    bool is_report;      /* multipart/report of type delivery-status, RFC 3464 */
    bool is_feedback;    /* a feedback report, RFC 5965 */
    bool is_disposition; /* a read receipt, RFC 8098 */
};

/* Call mime_init() once before. */
void mime_init(void);

/* Load the conversions from the character sets that are in use in mail, to stay: afterwards nothing has to be
 * opened any more, and a text in another one stays as it is. */
void mime_load_charsets(void);

void mime_read(struct mime_report *report_r, const char *bytes, size_t length) __attribute__((nonnull));
void mime_clear(struct mime_report *report) __attribute__((nonnull));

/* Value of a header field in a header section, unfolded, trimmed and bounded by size; false when there is
 * none. */
bool mime_field(const char *header, const char *name, char *value_r, size_t size) __attribute__((nonnull));

#endif
