#include "bounce/dsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"
#include "bounce/charset.h"
#include "bounce/complaint.h"
#include "bounce/failure.h"
#include "bounce/fields.h"
#include "bounce/mime.h"
#include "bounce/notice.h"
#include "bounce/notice_text.h"
#include "classify/classify_rules.h"

#define UUID_HEADER "X-Sendpost-Message-UUID"
#define SUBJECT_SIZE 512 /* bytes of a returned message's Subject that are known again */

struct dsn_reader {
    const struct classify_rules *rules;
    struct classify_rules *notices, *boilerplate;
};

/* What is being read. */
struct reading {
    const struct dsn_reader *reader;
    struct mime_report mime;
    char *prose;    /* the notice without the returned message */
    char *returned; /* header of the returned message, wherever it stood */
    enum notice_kind subject_kind, prose_kind;
    const char *sender, *recipient;
    struct dsn *report;
};

struct dsn_reader *dsn_open(const struct classify_rules *rules, struct outcome *error_r)
{
    struct dsn_reader *reader = xcalloc(1, sizeof *reader);

    mime_init();
    reader->rules = rules;
    reader->notices = classify_compile("built-in notices", data_notices, data_notices_count, error_r);
    reader->boilerplate =
        classify_compile("built-in boilerplate", data_boilerplate, data_boilerplate_count, error_r);
    if (reader->notices != NULL && reader->boilerplate != NULL)
        return reader;
    dsn_close(reader);
    return NULL;
}

void dsn_close(struct dsn_reader *reader)
{
    if (reader == NULL)
        return;
    classify_close(reader->notices);
    classify_close(reader->boilerplate);
    free(reader);
}

static struct dsn_recipient *find_recipient(const struct dsn *report, const char *address)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcasecmp(report->recipients[i].address, address) == 0)
            return &report->recipients[i];
    return NULL;
}

/* NULL: it is there already. */
static struct dsn_recipient *add_recipient(struct dsn *report, const char *address)
{
    struct dsn_recipient *recipient;

    if (find_recipient(report, address) != NULL)
        return NULL;
    report->recipients = xrealloc(report->recipients, (report->count + 1) * sizeof *report->recipients);
    recipient = &report->recipients[report->count++];
    memset(recipient, 0, sizeof *recipient);
    snprintf(recipient->address, sizeof recipient->address, "%s", address);
    snprintf(recipient->final, sizeof recipient->final, "%s", address);
    return recipient;
}

/* --- reports with RFC 3464 fields ----------------------------------------------------------------------- */

/* The fields, from their own part or from the prose of a system that has put them there. */
static size_t find_fields(const struct reading *reading, struct fields_recipient **recipients_r)
{
    size_t count = fields_read(recipients_r, reading->mime.fields);

    if (count == 0 && strcasestr(reading->mime.notice, "\nFinal-Recipient:") != NULL)
        count = fields_read(recipients_r, reading->mime.notice);
    return count;
}

static void judge_fields(const struct reading *reading, const struct fields_recipient *fields,
                         const char *about, struct dsn_recipient *recipient_r)
{
    bool delay = reading->prose_kind == NOTICE_DELAY || reading->subject_kind == NOTICE_DELAY;

    *recipient_r = (struct dsn_recipient){.delayed = fields->action == FIELDS_DELAYED ||
                                                     (fields->action == FIELDS_UNSAID && delay)};
    memcpy(recipient_r->address, fields->address, sizeof recipient_r->address);
    memcpy(recipient_r->final, fields->final, sizeof recipient_r->final);
    memcpy(recipient_r->status, fields->status, sizeof recipient_r->status);
    memcpy(recipient_r->remote, fields->remote, sizeof recipient_r->remote);
    failure_judge(reading->reader->rules, recipient_r, fields->diagnostic, about);
}

static void take_failure(struct reading *reading, const struct fields_recipient *fields, bool alone)
{
    AUTO_FREE char *about = alone ? xstrdup(reading->prose)
                                  : notice_about(reading->prose, strlen(reading->prose), fields->address);
    struct dsn_recipient judged, *recipient = find_recipient(reading->report, fields->address);

    judge_fields(reading, fields, about, &judged);
    if (recipient == NULL)
        *add_recipient(reading->report, fields->address) = judged;
    else if (dsn_badness(&judged) < dsn_badness(recipient))
        *recipient = judged;
}

/* A recipient whose mail went on to several addresses has a group of fields for each: he is as bad as the
 * best of them. */
static void take_fields(struct reading *reading, const struct fields_recipient *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].action != FIELDS_DONE)
            take_failure(reading, &fields[i], count == 1);
    for (size_t i = 0; i < count; i++) {
        struct dsn_recipient *recipient = find_recipient(reading->report, fields[i].address);
        if (fields[i].action != FIELDS_DONE)
            continue;
        reading->report->reached = true;
        if (recipient != NULL)
            recipient->hard = false;
    }
    if (reading->report->count == 0)
        reading->report->why_none = "a confirmation of delivery";
}

/* --- reports in prose ------------------------------------------------------------------------------- */

/* The null sender, which reports and auto-replies have. Postfix may have put it into the header already. */
static bool has_null_sender(const struct reading *reading)
{
    return *reading->mime.return_path ? strstr(reading->mime.return_path, "<>") != NULL
                                      : *reading->sender == '\0';
}

static bool names_a_mail_system(const char *from)
{
    static const char *const names[] = {
        "mailer-daemon",      "mailerdaemon", "mail-daemon", "maildaemon",    "mdaemon",       "postmaster",
        "postmast",           "daemon",       "no-reply",    "noreply",       "mail delivery", "maildelivery",
        "mail-delivery",      "mailer",       "mail system", "mailsystem",    "mail-system",   "mail server",
        "mailserver",         "mail router",  "sysadmin",    "administrator", "mail gateway",  "bounce",
        "microsoft exchange", "smtp server"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasestr(from, names[i]) != NULL)
            return true;
    return false;
}

/* A mail system wrote it, not a person or a person's mail program. */
static bool from_a_mail_system(const struct reading *reading)
{
    const struct mime_report *mime = &reading->mime;

    if (mime->is_report || names_a_mail_system(mime->from) || names_a_mail_system(mime->return_path) ||
        *mime->failed_recipients != '\0')
        return true;
    return (has_null_sender(reading) || *mime->from == '\0') &&
           strcasestr(mime->auto_submitted, "auto-replied") == NULL;
}

static void take_failed_recipients(struct reading *reading, bool delay)
{
    const char *at = reading->mime.failed_recipients;

    while (*at != '\0' && reading->report->count < NOTICE_RECIPIENTS_MAX) {
        size_t length = strcspn(at, ",");
        AUTO_FREE char *value = xstrndup(at, length), *about = NULL;
        char address[ADDRESS_SIZE];

        at += length + (at[length] == ',');
        if (!fields_address(address, value))
            continue;
        about = strchr(reading->mime.failed_recipients, ',') == NULL
                    ? xstrdup(reading->prose)
                    : notice_about(reading->prose, strlen(reading->prose), address);
        struct dsn_recipient *recipient = add_recipient(reading->report, address);
        if (recipient != NULL) {
            recipient->delayed = delay;
            failure_judge(reading->reader->rules, recipient, "", about);
        }
    }
}

static void take_prose(struct reading *reading, bool delay)
{
    char from[ADDRESS_SIZE] = "", to[ADDRESS_SIZE] = "";
    struct notice_recipient *found;
    size_t count;

    fields_address(from, reading->mime.from);
    fields_address(to, reading->mime.to);
    const char *const not_these[] = {from, to, reading->sender, reading->recipient};
    count = notice_recipients(&found, reading->prose, strlen(reading->prose), not_these, 4, true);
    if (count == 0) /* somebody wrote to himself */
        count = notice_recipients(&found, reading->prose, strlen(reading->prose), not_these + 2, 2, false);
    for (size_t i = 0; i < count; i++) {
        struct dsn_recipient *recipient = add_recipient(reading->report, found[i].address);

        if (recipient == NULL)
            continue;
        recipient->delayed = delay;
        failure_judge(reading->reader->rules, recipient, "", found[i].text);
    }
    notice_free(found, count);
}

/* It names nobody: then it is about whom the returned message was to. */
static void take_returned(struct reading *reading, bool delay)
{
    char value[2048], address[ADDRESS_SIZE] = "";
    struct dsn_recipient *recipient;

    if (mime_field(reading->returned, "To", value, sizeof value) && strchr(value, ',') == NULL &&
        !fields_address(address, value))
        address[0] = '\0';
    recipient = add_recipient(reading->report, address);
    recipient->delayed = delay;
    failure_judge(reading->reader->rules, recipient, "", reading->prose);
}

/* What asks the sender for something may be the remark of a server that has refused the message. */
static bool is_of_a_failure(const struct reading *reading)
{
    return reading->subject_kind == NOTICE_FAILURE || *reading->mime.failed_recipients != '\0' ||
           notice_has_code(reading->prose);
}

static void read_prose(struct reading *reading)
{
    enum notice_kind subject = reading->subject_kind, prose = reading->prose_kind;
    bool delay = subject == NOTICE_DELAY || prose == NOTICE_DELAY;

    if (prose == NOTICE_CHALLENGE && is_of_a_failure(reading))
        prose = NOTICE_FAILURE;
    if (subject == NOTICE_CHALLENGE || prose == NOTICE_CHALLENGE) {
        reading->report->why_none = "a challenge or a question to the sender";
    } else if (subject == NOTICE_AUTO_REPLY || (!delay && prose == NOTICE_AUTO_REPLY)) {
        reading->report->why_none = "an auto-reply";
    } else if (subject == NOTICE_CONFIRMATION ||
               (prose == NOTICE_CONFIRMATION && subject != NOTICE_FAILURE)) {
        reading->report->why_none = "a confirmation of delivery";
    } else if (!delay && subject != NOTICE_FAILURE && prose != NOTICE_FAILURE && !reading->mime.is_report &&
               *reading->mime.failed_recipients == '\0') {
        reading->report->why_none = "no report of a failure";
    } else if (!from_a_mail_system(reading) && subject != NOTICE_FAILURE) {
        reading->report->why_none = "a person's mail";
    } else {
        take_failed_recipients(reading, delay);
        if (reading->report->count == 0)
            take_prose(reading, delay);
        if (reading->report->count == 0)
            take_returned(reading, delay);
    }
}

/* --- the whole -------------------------------------------------------------------------------------- */

static void split_notice(struct reading *reading)
{
    const struct dsn_reader *reader = reading->reader;
    char *settled = charset_settle(reader->notices, reader->rules, reading->mime.notice);
    if (settled != NULL) {
        free(reading->mime.notice);
        reading->mime.notice = settled;
    }
    size_t length = notice_length(reader->notices, reading->mime.notice);
    char subject[SUBJECT_SIZE] = "";

    reading->returned =
        xstrdup(*reading->mime.returned ? reading->mime.returned : reading->mime.notice + length);
    mime_field(reading->returned, "Subject", subject, sizeof subject);
    AUTO_FREE char *quoted = notice_text_quoted_subject(reading->mime.notice, length);
    reading->prose = notice_text_own(reader->boilerplate, reading->mime.notice, length, subject);
    AUTO_FREE char *own =
        notice_text_subject(reader->notices, reading->mime.subject, *subject ? subject : quoted);
    reading->subject_kind = notice_kind(reader->notices, own);
    reading->prose_kind = notice_kind(reader->notices, reading->prose);
}

static void read_message_id(struct reading *reading)
{
    char value[UUID_SIZE + 8];

    if (mime_field(reading->returned, UUID_HEADER, value, sizeof value) && uuid_valid(value, strlen(value)))
        uuid_copy(reading->report->message_id, value);
}

void dsn_read(const struct dsn_reader *reader, const char *bytes, size_t length, const char *sender,
              const char *recipient, struct dsn *report_r)
{
    struct reading reading = {.reader = reader, .sender = sender, .recipient = recipient, .report = report_r};
    struct fields_recipient *fields;
    size_t count;

    memset(report_r, 0, sizeof *report_r);
    mime_read(&reading.mime, bytes, length);
    split_notice(&reading);
    report_r->date_ms = reading.mime.date_ms;
    read_message_id(&reading);
    count = find_fields(&reading, &fields);
    if (reading.mime.is_feedback)
        complaint_read(reading.mime.feedback, reading.returned, report_r);
    else if (reading.mime.is_disposition)
        report_r->why_none = "a read receipt";
    else if (count > 0)
        take_fields(&reading, fields, count);
    else
        read_prose(&reading);
    free(fields);
    free(reading.prose);
    free(reading.returned);
    mime_clear(&reading.mime);
}

void dsn_clear(struct dsn *report)
{
    free(report->recipients);
    report->recipients = NULL;
    report->count = 0;
}
