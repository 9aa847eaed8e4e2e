#include "bounce/dsn.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bounce/fields.h"
#include "bounce/mime.h"
#include "bounce/notice.h"
#include "suites.h"

#define UUID "6f1c2d3e-4b5a-4c7d-8e9f-0a1b2c3d4e5f"
#define VERP "bounces+" UUID "+4321@sp-bounce.example.com"

static struct classify_rules *rules;
static struct dsn_reader *reader;

static void open_reader(void)
{
    struct outcome error;

    rules = classify_open(NULL, &error);
    ck_assert_ptr_nonnull(rules);
    reader = dsn_open(rules, &error);
    ck_assert_msg(reader != NULL, "%s", error.text);
}

static void close_reader(void)
{
    dsn_close(reader);
    classify_close(rules);
}

static struct dsn read_text(const char *message)
{
    struct dsn report;

    dsn_read(reader, message, strlen(message), "", VERP, &report);
    return report;
}

/* One line a failed recipient: "hard a@b 5.1.1 user-unknown", or why there is none. */
static char *summary(struct dsn *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    for (size_t i = 0; i < report->count; i++)
        fprintf(out, "%s %s %s %s\n", report->recipients[i].hard ? "hard" : "soft",
                report->recipients[i].address, report->recipients[i].status, report->recipients[i].reason);
    if (report->why_none != NULL)
        fputs(report->why_none, out);
    fclose(out);
    dsn_clear(report);
    return text;
}

#define DAEMON "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net\nTo: " VERP "\n"
#define RETURNED                                          \
    "Received: from here\nX-Sendpost-Message-UUID: " UUID \
    "\nFrom: me@example.com\nTo: <returned@example.org>\nSubject: hi\n\nhi\n"
#define FEEDBACK(fields, returned)                                                                 \
    DAEMON "Subject: complaint\nContent-Type: multipart/report; report-type=feedback-report; "     \
           "boundary=b\n\n--b\nContent-Type: text/plain\n\n"                                       \
           "user unknown, could not be delivered to c@example.org\n--b\nContent-Type: "            \
           "message/feedback-report\n\n" fields "\n--b\nContent-Type: message/rfc822\n\n" returned \
           "\n--b--\n"
#define DSN(fields)                                                                       \
    DAEMON "Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"            \
           "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"  \
           "--b\nContent-Type: text/plain\n\nI could not deliver.\n\n--b\nContent-Type: " \
           "message/delivery-status\n\n"                                                  \
           "Reporting-MTA: dns; mx.example.net\n\n" fields                                \
           "\n--b\nContent-Type: message/rfc822\n\n" RETURNED "\n--b--\n"

/* The server of team@example.org has passed the message on to several. */
#define OF_TEAM(final, action, status, diagnostic)                                                      \
    "Original-Recipient: rfc822; team@example.org\nFinal-Recipient: rfc822; " final "\nAction: " action \
    "\nStatus: " status "\nDiagnostic-Code: smtp; " diagnostic "\n\n"
#define BAD OF_TEAM("a@b.example", "failed", "5.1.1", "550 5.1.1 user unknown")
#define NO_HOST OF_TEAM("e@f.example", "failed", "5.1.2", "550 5.1.2 host unknown")
#define FULL OF_TEAM("c@d.example", "failed", "5.2.2", "552 5.2.2 mailbox full")
#define SLOW OF_TEAM("g@h.example", "delayed", "4.4.1", "connection timed out")
#define DONE(action) OF_TEAM("i@j.example", action, "2.0.0", "250 ok")

static const struct {
    const char *name, *message, *summary;
} messages[] = {
    {"fields, one recipient",
     DSN("Final-Recipient: rfc822; a@example.org\nAction: failed\nStatus: 5.1.1\n"
         "Diagnostic-Code: smtp; 550 5.1.1 <a@example.org>:\n    Recipient address rejected: User unknown\n"),
     "hard a@example.org 5.1.1 user-unknown\n"},
    {"fields, several recipients, one of them delivered",
     DSN("Final-Recipient: rfc822; a@example.org\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 "
         "quota exceeded\n\n"
         "Original-Recipient: rfc822; b@example.org\nFinal-Recipient: rfc822; intern@b.example\nAction: "
         "failed\nStatus: 5.1.1\n\n"
         "Final-Recipient: rfc822; c@example.org\nAction: relayed\nStatus: 2.0.0\n"),
     "soft a@example.org 5.2.2 quota\nhard b@example.org 5.1.1 user-unknown\n"},
    {"one recipient at two addresses, a bad one and a full one", DSN(BAD FULL),
     "soft team@example.org 5.2.2 quota\n"},
    {"one recipient at two addresses, a full one and a bad one", DSN(FULL BAD),
     "soft team@example.org 5.2.2 quota\n"},
    {"one recipient at two bad addresses", DSN(BAD NO_HOST), "hard team@example.org 5.1.1 user-unknown\n"},
    {"one recipient at two addresses, one that has it and a bad one", DSN(DONE("delivered") BAD),
     "soft team@example.org 5.1.1 user-unknown\n"},
    {"one recipient at two addresses, a bad one and one that it went on to", DSN(BAD DONE("relayed")),
     "soft team@example.org 5.1.1 user-unknown\n"},
    {"a list of which one address is bad", DSN(DONE("expanded") BAD NO_HOST),
     "soft team@example.org 5.1.1 user-unknown\n"},
    {"one recipient at two addresses, one that is still tried and a bad one", DSN(SLOW BAD),
     "soft team@example.org 4.4.1 network\n"},
    {"one recipient at two addresses, a full one and one that is still tried", DSN(FULL SLOW),
     "soft team@example.org 4.4.1 network\n"},
    {"one recipient who has it, and another who is unknown",
     DSN(DONE("delivered") "Final-Recipient: rfc822; x@example.org\nAction: failed\nStatus: 5.1.1\n"),
     "hard x@example.org 5.1.1 user-unknown\n"},
    {"a delay is soft whatever it says",
     DSN("Final-Recipient: rfc822; a@example.org\nAction: delayed\nStatus: 4.1.1\nDiagnostic-Code: smtp; 450 "
         "4.1.1 user unknown\n"),
     "soft a@example.org 4.1.1 user-unknown\n"},
    {"a confirmation", DSN("Final-Recipient: rfc822; a@example.org\nAction: delivered\nStatus: 2.0.0\n"),
     "a confirmation of delivery"},
    {"an address that is none is found in the words",
     DSN("Final-Recipient: rfc822; nonsense\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 user "
         "unknown\n"),
     "soft returned@example.org  unknown\n"},
    {"qmail",
     DAEMON "Subject: failure notice\n\nHi. This is the qmail-send program at mx.example.net.\n"
            "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
            "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
            "<a@example.org>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 sorry, no mailbox "
            "here by that name\n"
            "Giving up on 192.0.2.1.\n\n<b@example.org>:\nUser is over the quota. (#5.2.2)\n\n"
            "--- Below this line is a copy of the message.\n\n" RETURNED,
     "hard a@example.org  user-unknown\nsoft b@example.org 5.2.2 quota\n"},
    {"Exim",
     DAEMON "X-Failed-Recipients: a@example.org\nAuto-Submitted: auto-replied\nSubject: Mail delivery "
            "failed: returning message to sender\n\n"
            "This message was created automatically by mail delivery software.\n\nA message that you sent "
            "could not be delivered to one or more "
            "of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  "
            "a@example.org\n    host mx.example.org "
            "[192.0.2.1]\n    SMTP error from remote mail server after RCPT TO:<a@example.org>:\n    550 "
            "5.1.1 <a@example.org>: no such user\n\n"
            "------ This is a copy of the message, including all the headers. ------\n\n" RETURNED,
     "hard a@example.org 5.1.1 user-unknown\n"},
    {"Exim, several recipients in one paragraph",
     DAEMON "X-Failed-Recipients: a@example.org,\n  b@example.org\nSubject: Mail delivery failed\n\n"
            "The following address(es) failed:\n\n  a@example.org\n    SMTP error from remote mail server "
            "after RCPT TO:<a@example.org>:\n    550 5.1.1 <a@example.org>... User unknown\n"
            "  b@example.org\n    SMTP error from remote mail server after RCPT TO:<b@example.org>:\n"
            "    552 5.2.2 <b@example.org>... Mailbox full\n",
     "hard a@example.org 5.1.1 user-unknown\nsoft b@example.org 5.2.2 quota\n"},
    {"old Sendmail",
     DAEMON "Subject: Returned mail: User unknown\n\n   ----- Transcript of session follows -----\nWhile "
            "talking to mx.example.org:\n"
            ">>> RCPT To:<a@example.org>\n<<< 550 <a@example.org>... User unknown\n550 a@example.org... User "
            "unknown\n\n"
            "   ----- Unsent message follows -----\n" RETURNED,
     "hard a@example.org  user-unknown\n"},
    {"an unknown user after DATA may be a filter",
     DAEMON "Subject: Returned mail\n\nYour mail was not delivered:\n<a@example.org>\n>>> DATA\n<<< 550 "
            "Unknown user a@example.org\n\n" RETURNED,
     "soft a@example.org  filtered\n"},
    {"HTML alone",
     DAEMON "Subject: Undeliverable: hi\nContent-Type: text/html\n\n<html><style>p{x}</style><p>Delivery has "
            "failed to these recipients:"
            "</p><div>a&#64;example.org</div><p>The recipient's mailbox is full</p></html>\n",
     "soft a@example.org  quota\n"},
    {"encoded", /* base64 of a notice in ISO-8859-1 */
     DAEMON "Subject: Zustellung fehlgeschlagen\nContent-Type: text/plain; "
            "charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\n"
            "VW56dXN0ZWxsYmFyOgoKYUBleGFtcGxlLm9yZzoKNTUwIEVtcGbkbmdlciB1bmJla2FubnQK\n",
     "hard a@example.org  user-unknown\n"},
    {"nobody is named", DAEMON "Subject: Undeliverable mail\n\nThe mailbox is full.\n\n" RETURNED,
     "soft returned@example.org  quota\n"},
    {"delay in prose",
     DAEMON "Subject: Warning: message delayed 24 hours\n\nYour message has not yet been delivered to:\n\n  "
            "a@example.org\n    550 user unknown\n",
     "soft a@example.org  user-unknown\n"},
    {"a complaint, and not of those whom its words name",
     FEEDBACK("Feedback-Type: abuse\nOriginal-Rcpt-To: <a@example.org>\nOriginal-Rcpt-To: rfc822; "
              "b@example.org\n",
              RETURNED),
     "soft a@example.org  complaint\nsoft b@example.org  complaint\nsoft returned@example.org  "
     "complaint\n"},
    {"a complaint in another spelling",
     FEEDBACK("feedback-type:  Fraud (phishing)\nORIGINAL-RCPT-TO: a@example.org\n", "X: y\n\n"),
     "soft a@example.org  complaint\n"},
    {"a complaint of somebody who is hidden",
     FEEDBACK("Feedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: redacted\n",
              "X-Sendpost-Message-UUID: " UUID "\nTo: undisclosed-recipients:;\n\n"),
     "soft   complaint\n"},
    {"a wish to be taken off a list",
     FEEDBACK("Feedback-Type: opt-out\n", "To: \"Doe, Jane\" <a@example.org>, b@example.org\n\n"),
     "soft a@example.org  complaint\nsoft b@example.org  complaint\n"},
    {"a message that is no spam",
     FEEDBACK("Feedback-Type: not-spam\nOriginal-Rcpt-To: a@example.org\n", RETURNED),
     "a report that a message is no spam"},
    {"a signature that did not hold",
     FEEDBACK("Feedback-Type: auth-failure\nOriginal-Rcpt-To: a@example.org\n", RETURNED),
     "a feedback report that is no complaint"},
    {"a feedback report without a type",
     FEEDBACK("Original-Rcpt-To: a@example.org\nX-Feedback-Type: abuse\n", RETURNED),
     "a feedback report that is no complaint"},
    {"a vacation",
     "Return-Path: <>\nFrom: a@example.org\nAuto-Submitted: auto-replied\nSubject: Out of office: hi\n\nI am "
     "away until Monday.\n",
     "an auto-reply"},
    {"a vacation that speaks of failure",
     "From: a@example.org\nAuto-Submitted: auto-replied\nSubject: Re: hi\n\n"
     "Your message to b@example.org was not delivered to me, I am at sea.\n",
     "a person's mail"},
    {"a confirmation in prose",
     DAEMON "Subject: Delivery Status Notification (Success)\n\nYour message was successfully delivered to "
            "<a@example.org>\n",
     "a confirmation of delivery"},
    {"a person",
     "Return-Path: <a@example.org>\nFrom: A <a@example.org>\nSubject: Re: hi\n\nMy mail to b@example.org "
     "could not be delivered, why?\n",
     "a person's mail"},
    {"ordinary mail", "From: a@example.org\nSubject: lunch\n\nat twelve?\n", "no report of a failure"},
    {"nothing", "", "no report of a failure"},
    {"a read receipt",
     DAEMON "Subject: Read: hi\nContent-Type: multipart/report; report-type=disposition-notification; "
            "boundary=b\n\n--b\n\nread\n--b\n"
            "Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; a@example.org\n"
            "Disposition: manual-action/MDN-sent-manually; displayed\n--b--\n",
     "a read receipt"},
};

START_TEST(a_report_names_its_recipients_and_what_became_of_them)
{
    struct dsn report = read_text(messages[_i].message);
    char *got = summary(&report);

    ck_assert_msg(strcmp(got, messages[_i].summary) == 0, "%s: %s", messages[_i].name, got);
    free(got);
}
END_TEST

START_TEST(the_message_id_comes_from_the_returned_header)
{
    struct dsn report = read_text(messages[0].message);

    ck_assert_str_eq(report.message_id, UUID);
    dsn_clear(&report);
    report = read_text(messages[5].message);
    ck_assert_str_eq(report.message_id, UUID);
    dsn_clear(&report);
}
END_TEST

START_TEST(a_complaint_names_its_message_by_our_bounce_address_where_the_header_is_cut_off)
{
    struct dsn report =
        read_text(FEEDBACK("Feedback-Type: abuse\nUser-Agent: Loop/1\nReporting-MTA: dns; mx.example.net\n"
                           "Original-Mail-From: <" VERP ">\n",
                           "From: me@example.com\n\n"));

    ck_assert(report.complaint);
    ck_assert_str_eq(report.message_id, UUID);
    ck_assert_str_eq(report.recipients[0].text, "abuse, reported by dns; mx.example.net");
    dsn_clear(&report);
    report = read_text(FEEDBACK("Feedback-Type: abuse\n", "Return-Path: <" VERP ">\n\n"));
    ck_assert_str_eq(report.message_id, UUID);
    ck_assert_str_eq(report.recipients[0].text, "abuse, reported by somebody without a name");
    dsn_clear(&report);
}
END_TEST

START_TEST(an_address_is_taken_out_of_any_dress)
{
    static const struct {
        const char *value, *address;
    } values[] = {
        {"rfc822; a@example.org", "a@example.org"},
        {"RFC822;<a@example.org>", "a@example.org"},
        {"rfc822;@relay.example:a@b.example", "a@b.example"},
        {"A <a@example.org>", "a@example.org"},
        {"a@example.org (A)", "a@example.org"},
        {"rfc822; mailto:a@example.org", "a@example.org"},
        {"rfc822; a", NULL},
        {"", NULL},
        {"<>", NULL},
        {"rfc822; a@\x01.example", NULL},
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char address[ADDRESS_SIZE];
        bool found = fields_address(address, values[i].value);

        ck_assert_msg(found == (values[i].address != NULL), "%s", values[i].value);
        if (found)
            ck_assert_str_eq(address, values[i].address);
    }
}
END_TEST

/* begin, then unit over and over up to size bytes */
static char *flood(const char *begin, const char *unit, size_t size)
{
    char *bytes = malloc(size + 1);
    size_t length = strlen(begin), step = strlen(unit);

    memcpy(bytes, begin, length);
    for (; length + step <= size; length += step)
        memcpy(bytes + length, unit, step);
    bytes[length] = '\0';
    return bytes;
}

static const struct {
    const char *begin, *unit;
} floods[] = {
    {"", "X-Endless: header\n"},
    {"From: MAILER-DAEMON\nSubject:", " undeliverable\n"},
    {"From: MAILER-DAEMON\nSubject: failure notice\n\n", "<a@example.org>: 550 user unknown\n"},
    {"From: MAILER-DAEMON\nSubject: failure notice\n\n", "a@b.c "},
    {"From: MAILER-DAEMON\nSubject: failure notice\n\n", "@"},
    {"Content-Type: multipart/report; boundary=b\n\n",
     "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.c\n\n"},
    {"", "Content-Type: multipart/mixed; boundary=b\n\n--b\n"},
    {"", "Content-Type: message/rfc822\n\n"},
    {"From: MAILER-DAEMON\nSubject: failure notice\nContent-Type: text/html\n\n", "<&"},
    {"X-Failed-Recipients: a@b.c", ",a@b.c"},
    {"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: "
     "message/feedback-report\n\nFeedback-Type: abuse\n",
     "Original-Rcpt-To: a@b.c,d@e.f\n"},
};

START_TEST(any_flood_is_read_to_an_end)
{
    char *bytes = flood(floods[_i].begin, floods[_i].unit,
                        unit_tests_under_valgrind() ? MIME_MESSAGE_MAX / 4 : 3 * MIME_MESSAGE_MAX);
    struct dsn report;

    dsn_read(reader, bytes, strlen(bytes), "", VERP, &report);
    ck_assert_uint_le(report.count, NOTICE_RECIPIENTS_MAX);
    dsn_clear(&report);
    free(bytes);
}
END_TEST

/* --- real reports, where they are at hand --------------------------------------------------------------- */

#define SAMPLES TOP_SRCDIR "/../shared/data/bounces/dsn/"

static struct dsn read_sample(const char *name)
{
    static char bytes[MIME_MESSAGE_MAX];
    char path[4096];
    struct dsn report;

    snprintf(path, sizeof path, SAMPLES "%s", name);
    FILE *stream = fopen(path, "re");
    ck_assert_msg(stream != NULL, "%s", path);
    size_t length = fread(bytes, 1, sizeof bytes, stream);
    fclose(stream);
    dsn_read(reader, bytes, length, "", "", &report);
    return report;
}

static const char *string(struct json_object *row, const char *key)
{
    return json_object_get_string(json_object_object_get(row, key));
}

static const struct dsn_recipient *find(const struct dsn *report, struct json_object *accepted)
{
    for (size_t i = 0; i < report->count; i++)
        for (size_t j = 0; j < json_object_array_length(accepted); j++)
            if (strcasecmp(report->recipients[i].address,
                           json_object_get_string(json_object_array_get_idx(accepted, j))) == 0)
                return &report->recipients[i];
    return NULL;
}

START_TEST(real_reports_are_read_right)
{
    FILE *stream = fopen(SAMPLES "labels.jsonl", "re");
    char *line = NULL;
    size_t room = 0, wanted[2] = {0, 0}, found[2] = {0, 0}, judged = 0, right = 0;

    if (stream == NULL)
        return;
    while (getline(&line, &room, stream) > 0) {
        struct json_object *row = json_tokener_parse(line);
        const char *kind = string(row, "kind");
        struct dsn report = read_sample(string(row, "file"));
        const struct dsn_recipient *recipient =
            find(&report, json_object_object_get(row, "recipient_accepted"));
        size_t fields = json_object_get_boolean(json_object_object_get(row, "has_dsn_part")) ? 1 : 0;

        if (strcmp(kind, "nonbounce") == 0) {
            ck_assert_msg(report.count == 0 || report.complaint, "%s is no bounce", string(row, "file"));
        } else if (strcmp(kind, "delay_notice") == 0) {
            ck_assert_msg(recipient == NULL || !recipient->hard, "%s is a delay", string(row, "file"));
        } else {
            wanted[fields]++;
            found[fields] += recipient != NULL;
            if (recipient != NULL && strcmp(kind, "bounce") == 0) {
                judged++;
                right +=
                    recipient->hard == (bool)json_object_get_boolean(json_object_object_get(row, "hard"));
            }
        }
        dsn_clear(&report);
        json_object_put(row);
    }
    free(line);
    fclose(stream);
    ck_assert_msg(found[1] * 100 >= wanted[1] * 95, "with fields: %zu of %zu", found[1], wanted[1]);
    ck_assert_msg(found[0] * 100 >= wanted[0] * 60, "in prose: %zu of %zu", found[0], wanted[0]);
    ck_assert_msg(right * 100 >= judged * 90, "judged: %zu of %zu", right, judged);
}
END_TEST

START_TEST(what_stands_in_a_supplementary_field_is_a_diagnostic)
{
    static const char message[] = DAEMON
        "Subject: failure\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
        "Content-Type: text/plain\n\nIt could not be delivered.\n--b\nContent-Type: "
        "message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\nFinal-recipient: RFC822; "
        "c@d.example\nAction: failed\nStatus: 5.0.0\nRemote-MTA: dns; 192.0.2.1\nRemote-MTA: dns; "
        "192.0.2.2\nX-Supplementary-Info: <192.0.2.1 #5.0.0 smtp; 550 \"Unknown User\">\n\n--b--\n";
    struct dsn report = read_text(message);
    char *text = summary(&report);

    ck_assert_msg(strncmp(text, "hard c@d.example", 16) == 0, "%s", text);
    free(text);
}
END_TEST

#define REFUSED_BY(host)                                                                                 \
    DAEMON                                                                                               \
    "Subject: failure\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n" \
    "Content-Type: text/plain\n\nIt could not be delivered.\n--b\nContent-Type: "                        \
    "message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; "         \
    "c@d.example\nAction: failed\nStatus: 5.7.1\nRemote-MTA: dns; " host                                 \
    "\nDiagnostic-Code: smtp; 550 5.7.1 Recipient address rejected: Access denied\n\n--b--\n"

START_TEST(the_host_that_refused_decides_between_two_readings)
{
    static const char *const by_provider = REFUSED_BY("d-example.mail.protection.outlook.com [192.0.2.1]"),
                             *const by_another = REFUSED_BY("mx.d.example (192.0.2.1)");
    struct dsn report = read_text(by_provider);
    char *text = summary(&report);

    ck_assert_msg(strncmp(text, "hard c@d.example", 16) == 0, "%s", text);
    free(text);
    report = read_text(by_another);
    text = summary(&report);
    ck_assert_msg(strncmp(text, "soft c@d.example", 16) == 0, "%s", text);
    free(text);
}
END_TEST

UNIT_SUITE(dsn_suite)
{
    Suite *suite = suite_create("dsn");
    TCase *tcase = tcase_create("bounce_report");

    tcase_add_checked_fixture(tcase, open_reader, close_reader);
    tcase_add_loop_test(tcase, a_report_names_its_recipients_and_what_became_of_them, 0,
                        sizeof messages / sizeof messages[0]);
    tcase_add_test(tcase, the_message_id_comes_from_the_returned_header);
    tcase_add_test(tcase, a_complaint_names_its_message_by_our_bounce_address_where_the_header_is_cut_off);
    tcase_add_test(tcase, an_address_is_taken_out_of_any_dress);
    tcase_add_loop_test(tcase, any_flood_is_read_to_an_end, 0, sizeof floods / sizeof floods[0]);
    tcase_add_test(tcase, real_reports_are_read_right);
    tcase_add_test(tcase, the_host_that_refused_decides_between_two_readings);
    tcase_add_test(tcase, what_stands_in_a_supplementary_field_is_a_diagnostic);
    suite_add_tcase(suite, tcase);
    return suite;
}
