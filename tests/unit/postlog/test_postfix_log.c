#include "postlog/postfix_log.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites.h"

#define UUID "31bdc664-f741-5a76-b8dc-9a801744f747"

static struct postfix_log_line parse(const char *text)
{
    struct postfix_log_line line;

    postfix_log_parse(text, strlen(text), &line);
    return line;
}

static struct postfix_log_reply reply_of(const char *text)
{
    struct postfix_log_line line = parse(text);
    struct postfix_log_reply reply;

    postfix_log_reply(&line, &reply);
    return reply;
}

static void assert_slice(struct log_slice slice, const char *expected)
{
    ck_assert_uint_eq(slice.length, strlen(expected));
    ck_assert_mem_eq(slice.at, expected, slice.length);
}

#define SENT                                                                                             \
    "4cYtGz1Nz3z9rN8: to=<a@example.com>, relay=mx.example.com[2001:db8::1]:25, conn_use=3, delay=0.5, " \
    "delays=0.1/0.1/0.1/0.2, tls=dane/!requiretls:nocertmatch, dsn=2.0.0, status=sent (250 2.0.0 Ok: "   \
    "queued as B1)"

START_TEST(every_syslog_prefix_leads_to_the_same_fields)
{
    static const char *const prefixes[] = {
        "Nov 23 05:29:37 mx postfix-out/smtp[8314]: ",
        "Nov  3 05:29:37 mx postfix-out/smtp[8314]: ",
        "<22>Nov 23 05:29:37 mx postfix-out/smtp[8314]: ",
        "2026-11-23T05:29:37.123456+01:00 mx postfix-out/smtp[8314]: ",
        "2026-11-23T05:29:37Z mx postfix-out/smtp[8314]: ",
        "<22>1 2026-11-23T05:29:37.123456+01:00 mx postfix-out/smtp 8314 - - ",
        "1 2026-11-23T05:29:37.123456+01:00 mx postfix-out/smtp 8314 - [a b=\"c\\\"] d\"][e] \xef\xbb\xbf",
    };

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s", prefixes[i], SENT);
        struct postfix_log_line line = parse(text);
        ck_assert_msg(line.kind == POSTFIX_LOG_DELIVERY, "%s", prefixes[i]);
        assert_slice(line.host, "mx");
        assert_slice(line.name, "postfix-out");
        assert_slice(line.program, "smtp");
        assert_slice(line.queue_id, "4cYtGz1Nz3z9rN8");
        assert_slice(line.to, "a@example.com");
        assert_slice(line.relay, "mx.example.com[2001:db8::1]:25");
        assert_slice(line.tls, "dane/!requiretls:nocertmatch");
        assert_slice(line.dsn, "2.0.0");
        ck_assert_int_eq(line.status, POSTFIX_STATUS_SENT);
        assert_slice(postfix_log_queued_as(&line), "B1");
    }
}
END_TEST

START_TEST(a_tag_apart_from_its_message_is_read_as_well)
{
    struct postfix_log_line line;

    postfix_log_parse_message("postfix/smtp", 12, SENT, strlen(SENT), &line);
    ck_assert_int_eq(line.kind, POSTFIX_LOG_DELIVERY);
    assert_slice(line.queue_id, "4cYtGz1Nz3z9rN8");
}
END_TEST

#define P "Nov 23 05:29:37 mx postfix/"

START_TEST(each_kind_is_known_by_its_beginning)
{
    static const struct {
        const char *text;
        enum postfix_log_kind kind;
    } rows[] = {
        {P "smtpd[1]: 4F6C2: client=localhost[127.0.0.1]", POSTFIX_LOG_BORN},
        {P "pickup[1]: 4F6C2A: uid=0 from=<root>", POSTFIX_LOG_BORN},
        {P "cleanup[1]: 4F6C2A: message-id=<x@y>", POSTFIX_LOG_CLEANUP},
        {P "cleanup[1]: 4F6C2A: info: header X-SendPost-Message-uuid: " UUID
           " from local; from=<a@b> to=<c@d>",
         POSTFIX_LOG_UUID},
        {P "qmgr[1]: 4F6C2A: from=<a@b>, size=5, nrcpt=1 (queue active)", POSTFIX_LOG_ACTIVE},
        {P "qmgr[1]: 4F6C2A: from=<>, status=expired, returned to sender", POSTFIX_LOG_EXPIRED},
        {P "qmgr[1]: 4F6C2A: from=<a@b>, status=force-expired, returned to sender", POSTFIX_LOG_EXPIRED},
        {P "qmgr[1]: 4F6C2A: removed", POSTFIX_LOG_REMOVED},
        {P "local[1]: 4F6C2A: to=<a@b>, relay=local, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (x)",
         POSTFIX_LOG_DELIVERY},
        {"Nov 23 05:29:37 mx postfix-sendpost/pipe[1]: 4F6C2A: to=<a@b>, tpsp=x, uuid=" UUID ", dsn=2.0.0, "
         "status=sent (250 Ok)",
         POSTFIX_LOG_OWN},
        {P "smtp[1]: 4F6C2A: to=<a@b>, relay=local, delay=1", POSTFIX_LOG_BROKEN},
        {P "smtp[1]: 4F6C2A: host x[1.2.3.4] said: 450 to=<a@b>, status=sent (in reply to x)",
         POSTFIX_LOG_OTHER},
        {P "smtpd[1]: NOQUEUE: reject: RCPT from x[1.2.3.4]: 550; to=<a@b>", POSTFIX_LOG_OTHER},
        {P "smtp[1]: warning: to=<a@b>, relay=x, dsn=2.0.0, status=sent (x)", POSTFIX_LOG_OTHER},
        {"Nov 23 05:29:37 mx kernel: 4F6C2A: removed", POSTFIX_LOG_FOREIGN},
        {"Nov 23 05:29:37 mx dovecot: lmtp(a): 4F6C2A: removed", POSTFIX_LOG_FOREIGN},
        {"", POSTFIX_LOG_FOREIGN},
        {"\x80\xff\n", POSTFIX_LOG_FOREIGN},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(parse(rows[i].text).kind == rows[i].kind, "%s", rows[i].text);
}
END_TEST

START_TEST(a_folded_header_and_one_with_blanks_name_the_uuid)
{
    static const char *const values[] = {
        ":" UUID,       ":   " UUID "  ", ":\t" UUID "\t",          " : " UUID,       ":? " UUID,
        ":??" UUID "?", ":#012 " UUID,    ":#012#011" UUID "#012 ", ":?\t" UUID "??",
    };
    static const char *const none[] = {":" UUID "x", ": x" UUID,     ": " UUID " " UUID,
                                       "-2: " UUID,  ": " UUID "?x", "x"};
    char text[512];

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(text, sizeof text,
                 P "cleanup[1]: 4F6C2A: info: header X-Sendpost-Message-UUID%s from x[10.0.0.1]; from=<a@b>",
                 values[i]);
        struct postfix_log_line line = parse(text);
        ck_assert_msg(line.kind == POSTFIX_LOG_UUID, "%s", text);
        assert_slice(line.uuid, UUID);
        assert_slice(line.from, "a@b");
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        snprintf(text, sizeof text,
                 P "cleanup[1]: 4F6C2A: info: header X-Sendpost-Message-UUID%s from x[10.0.0.1]; from=<a@b>",
                 none[i]);
        ck_assert_msg(parse(text).kind == POSTFIX_LOG_OTHER, "%s", text);
    }
}
END_TEST

START_TEST(text_of_strangers_forges_nothing)
{
    /* a subject in somebody's own INFO rule */
    struct postfix_log_line line =
        parse(P "cleanup[1]: 4F6C2A: info: header Subject: X-Sendpost-Message-UUID: " UUID
                " from local; from=<a@b>");
    ck_assert_int_eq(line.kind, POSTFIX_LOG_OTHER);
    /* a UUID with something behind it is none */
    line = parse(P "cleanup[1]: 4F6C2A: info: header X-Sendpost-Message-UUID: " UUID
                   ", x from local; from=<a@b>");
    ck_assert_int_eq(line.kind, POSTFIX_LOG_OTHER);
    /* and one with a client of its own behind it, too */
    line = parse(P "cleanup[1]: 4F6C2A: info: header X-Sendpost-Message-UUID: " UUID
                   " from x[127.0.0.1]; from=<a@b> from y[192.0.2.1]; from=<c@d> to=<e@f> proto=ESMTP");
    ck_assert_int_eq(line.kind, POSTFIX_LOG_OTHER);
    /* brackets and commas in a quoted local part */
    line = parse(
        P "smtp[1]: 4F6C2A: to=<\"x>, relay=a[1.1.1.1]:25, dsn=2.0.0, status=sent (250 \\\" ok)\"@b>, "
          "relay=mx[1.2.3.4]:25, delay=1, delays=1/0/0/0, dsn=5.1.1, status=bounced (host mx[1.2.3.4] said: "
          "550 5.1.1 no such user, status=sent (250 ok) (in reply to RCPT TO command))");
    ck_assert_int_eq(line.kind, POSTFIX_LOG_DELIVERY);
    ck_assert_int_eq(line.status, POSTFIX_STATUS_BOUNCED);
    assert_slice(line.dsn, "5.1.1");
    assert_slice(line.relay, "mx[1.2.3.4]:25");
    /* a reply that looks like the beginning of another line */
    line = parse(
        P "smtp[1]: 4F6C2A: to=<a@b>, relay=mx[1.2.3.4]:25, delay=1, delays=1/0/0/0, dsn=4.0.0, "
          "status=deferred (host mx[1.2.3.4] said: 450 Nov 23 05:29:37 mx postfix/smtp[1]: 5AAAA: to=<v@w>, "
          "relay=x, dsn=2.0.0, status=sent (250 ok) (in reply to RCPT TO command))");
    assert_slice(line.queue_id, "4F6C2A");
    ck_assert_int_eq(line.status, POSTFIX_STATUS_DEFERRED);
}
END_TEST

#define BOUNCE(reason) P "smtp[1]: 4F6C2A: to=<a@b>, relay=x, dsn=5.0.0, status=bounced (" reason ")"

START_TEST(a_reply_is_told_from_the_words_of_postfix)
{
    struct postfix_log_reply reply =
        reply_of(BOUNCE("host mx[1.2.3.4] said: 550 5.1.1 <a@b>: no (really) (in reply to RCPT TO command)"));
    ck_assert_int_eq(reply.code, 550);
    ck_assert_str_eq(reply.enhanced, "5.1.1");
    assert_slice(reply.text, "5.1.1 <a@b>: no (really)");

    reply = reply_of(
        BOUNCE("delivery temporarily suspended: host mx[::1] refused to talk to me: 421-4.7.0 busy"));
    ck_assert_int_eq(reply.code, 421);
    ck_assert_str_eq(reply.enhanced, "4.7.0");

    reply = reply_of(BOUNCE("connect to mx[1.2.3.4]:25: Connection refused"));
    ck_assert_int_eq(reply.code, 0);
    ck_assert_str_eq(reply.enhanced, "5.0.0");
    assert_slice(reply.text, "connect to mx[1.2.3.4]:25: Connection refused");

    /* only Postfix announces a reply */
    reply = reply_of(BOUNCE("unknown user: \"host x] said: 250 ok\""));
    ck_assert_int_eq(reply.code, 0);

    reply = reply_of(BOUNCE("250"));
    ck_assert_int_eq(reply.code, 250);
    ck_assert_uint_eq(reply.text.length, 0);
}
END_TEST

START_TEST(a_new_queue_id_is_found_where_the_message_went_on)
{
    struct postfix_log_line line = parse(
        P
        "smtp[1]: 4F6C2A: to=<a@b>, relay=127.0.0.1[127.0.0.1]:10024, dsn=2.0.0, status=sent (250 2.0.0 from "
        "MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 5BBBB)");
    assert_slice(postfix_log_queued_as(&line), "5BBBB");
    line = parse(P "local[1]: 4F6C2A: to=<a@b>, relay=local, dsn=2.0.0, status=sent (forwarded as 5CCCC)");
    assert_slice(postfix_log_queued_as(&line), "5CCCC");
    line = parse(P "smtp[1]: 4F6C2A: to=<a@b>, relay=x, dsn=5.0.0, status=sent (forwarded as 5CCCC)");
    ck_assert_uint_eq(postfix_log_queued_as(&line).length, 0);
    line = parse(P "pickup[1]: 4F6C2A: uid=0 from=<a@b> orig_id=5DDDD");
    assert_slice(line.orig_id, "5DDDD");
}
END_TEST

/* --- real lines, when they are at hand ----------------------------------------------------------- */

static void assert_field(struct json_object *expect, const char *key, struct log_slice slice,
                         const char *text)
{
    struct json_object *value;

    if (!json_object_object_get_ex(expect, key, &value) || value == NULL)
        return;
    const char *string = json_object_get_string(value);
    ck_assert_msg(
        slice.at != NULL && slice.length == strlen(string) && memcmp(slice.at, string, slice.length) == 0,
        "%s is \"%.*s\", not \"%s\", in: %s", key, (int)slice.length, slice.at ? slice.at : "", string, text);
}

static void check_sample(const char *text, const char *kind, struct json_object *expect)
{
    struct postfix_log_line line = parse(text);

    if (strcmp(kind, "delivery") == 0)
        ck_assert_msg(line.kind == POSTFIX_LOG_DELIVERY, "%s", text);
    else if (strcmp(kind, "qmgr_active") == 0)
        ck_assert_msg(line.kind == POSTFIX_LOG_ACTIVE, "%s", text);
    else if (strcmp(kind, "qmgr_expired") == 0)
        ck_assert_msg(line.kind == POSTFIX_LOG_EXPIRED, "%s", text);
    else
        ck_assert_msg(line.kind != POSTFIX_LOG_DELIVERY && line.kind != POSTFIX_LOG_EXPIRED, "%s", text);
    if (line.kind == POSTFIX_LOG_OTHER || line.kind == POSTFIX_LOG_CLEANUP)
        return;
    assert_field(expect, "queue_id", line.queue_id, text);
    assert_field(expect, "from", line.from, text);
    assert_field(expect, "to", line.to, text);
    assert_field(expect, "orig_to", line.orig_to, text);
    assert_field(expect, "relay", line.relay, text);
    assert_field(expect, "delay", line.delay, text);
    assert_field(expect, "delays", line.delays, text);
    assert_field(expect, "tls", line.tls, text);
    assert_field(expect, "dsn", line.dsn, text);
    assert_field(expect, "status", line.status_word, text);
    if (line.kind == POSTFIX_LOG_DELIVERY)
        assert_field(expect, "reason", line.reason, text);
}

START_TEST(real_lines_are_read_as_labelled)
{
    FILE *file = fopen(TOP_SRCDIR "/../shared/data/postfix-log/lines.jsonl", "r");
    char *row = NULL;
    size_t size = 0;

    if (file == NULL)
        return;
    while (getline(&row, &size, file) > 0) {
        struct json_object *object = json_tokener_parse(row);
        check_sample(json_object_get_string(json_object_object_get(object, "line")),
                     json_object_get_string(json_object_object_get(object, "kind")),
                     json_object_object_get(object, "expect"));
        json_object_put(object);
    }
    free(row);
    fclose(file);
}
END_TEST

UNIT_SUITE(postfix_log_suite)
{
    Suite *suite = suite_create("postfix_log");
    TCase *tcase = tcase_create("postfix_log");

    tcase_add_test(tcase, every_syslog_prefix_leads_to_the_same_fields);
    tcase_add_test(tcase, a_tag_apart_from_its_message_is_read_as_well);
    tcase_add_test(tcase, each_kind_is_known_by_its_beginning);
    tcase_add_test(tcase, a_folded_header_and_one_with_blanks_name_the_uuid);
    tcase_add_test(tcase, text_of_strangers_forges_nothing);
    tcase_add_test(tcase, a_reply_is_told_from_the_words_of_postfix);
    tcase_add_test(tcase, a_new_queue_id_is_found_where_the_message_went_on);
    tcase_add_test(tcase, real_lines_are_read_as_labelled);
    suite_add_tcase(suite, tcase);
    return suite;
}
