#include "bounce/complaint.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bounce_address.h"
#include "base/xalloc.h"
#include "bounce/fields.h"
#include "bounce/mime.h"

#define NAME_SIZE 160 /* of the program or server that reports */

/* RFC 5965 section 7.3 and the registry it begins. Of the others "not-spam" says the opposite, and virus,
 * auth-failure, dmarc and other do not say that the recipient wants no more mail. */
static bool is_complaint(const char *type)
{
    static const char *const types[] = {"abuse", "fraud", "opt-out", "opt-out-list"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(type, types[i]) == 0)
            return true;
    return false;
}

/* In one spelling, without what may stand behind the word: a version of the type, a comment. */
static void read_type(const char *fields, char type_r[32])
{
    if (!mime_field(fields, "Feedback-Type", type_r, 32))
        *type_r = '\0';
    type_r[strcspn(type_r, " ;(")] = '\0';
}

/* --- who it was ---------------------------------------------------------------------------------- */

static void add_recipient(struct dsn *report, const char *address)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcasecmp(report->recipients[i].address, address) == 0)
            return;
    if (report->count == COMPLAINT_RECIPIENTS_MAX)
        return;
    report->recipients = xrealloc(report->recipients, (report->count + 1) * sizeof *report->recipients);
    struct dsn_recipient *recipient = &report->recipients[report->count++];
    *recipient = (struct dsn_recipient){.reason = "complaint", .rule = "RFC 5965"};
    snprintf(recipient->address, sizeof recipient->address, "%s", address);
    snprintf(recipient->final, sizeof recipient->final, "%s", address);
}

/* Every address of every such field: each may be there several times, and hold several. */
static void add_field(struct dsn *report, const char *header, const char *name)
{
    size_t length = strlen(name);
    char value[FIELDS_VALUE_SIZE], address[ADDRESS_SIZE], *rest, *item;

    for (const char *line = header; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncasecmp(line, name, length) != 0 || line[length] != ':' ||
            !mime_field(line, name, value, sizeof value))
            continue;
        for (rest = value; (item = strsep(&rest, ",")) != NULL;)
            if (fields_address(address, item))
                add_recipient(report, address);
    }
}

static void find_recipients(struct dsn *report, const char *fields, const char *returned)
{
    static const char *const reported[] = {"Original-Rcpt-To", "Removal-Recipient"};
    static const char *const in_message[] = {"X-HmXmrOriginalRecipient", "Delivered-To", "X-Original-To",
                                             "To", "Cc"};

    for (size_t i = 0; i < sizeof reported / sizeof reported[0]; i++)
        add_field(report, fields, reported[i]);
    for (size_t i = 0; i < sizeof in_message / sizeof in_message[0]; i++)
        add_field(report, returned, in_message[i]);
    if (report->count == 0)
        add_recipient(report, "");
}

/* --- which message -------------------------------------------------------------------------------- */

/* The header with the UUID may have been cut off: our bounce address names it, too. */
static void find_message(struct dsn *report, const char *header, const char *name)
{
    char value[FIELDS_VALUE_SIZE], address[ADDRESS_SIZE];
    struct bounce_address verp;

    if (*report->message_id == '\0' && mime_field(header, name, value, sizeof value) &&
        fields_address(address, value) && bounce_address_parse(&verp, address, strlen(address)))
        memcpy(report->message_id, verp.uuid, sizeof report->message_id);
}

/* "abuse, reported by mx.example.net", for the log. */
static void describe(struct dsn *report, const char *type, const char *fields)
{
    char by[NAME_SIZE] = "";

    if (!mime_field(fields, "Reporting-MTA", by, sizeof by) &&
        !mime_field(fields, "User-Agent", by, sizeof by))
        snprintf(by, sizeof by, "somebody without a name");
    for (size_t i = 0; i < report->count; i++)
        snprintf(report->recipients[i].text, sizeof report->recipients[i].text, "%s, reported by %s", type,
                 by);
}

void complaint_read(const char *fields, const char *returned, struct dsn *report_r)
{
    char type[32];

    read_type(fields, type);
    if (!is_complaint(type)) {
        report_r->why_none = strcasecmp(type, "not-spam") == 0 ? "a report that a message is no spam"
                                                               : "a feedback report that is no complaint";
        return;
    }
    report_r->complaint = true;
    find_recipients(report_r, fields, returned);
    find_message(report_r, fields, "Original-Mail-From");
    find_message(report_r, returned, "Return-Path");
    describe(report_r, type, fields);
}
