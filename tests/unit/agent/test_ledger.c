#include "agent/ledger.h"

#include <string.h>

#include "policy/suppression.h"
#include "stored_events.h"
#include "suites.h"

#define KEY 0x4aaaaaULL
#define OTHER_KEY 0x4bbbbbULL
#define UUID_TEXT "31bdc664-f741-5a76-b8dc-9a801744f747"

static const unsigned char uuid[16] = {0x31, 0xbd, 0xc6, 0x64, 0xf7, 0x41, 0x5a, 0x76,
                                       0xb8, 0xdc, 0x9a, 0x80, 0x17, 0x44, 0xf7, 0x47};
static struct config config;
static struct classify_rules *rules;
static struct ledger ledger;

static void begin(void)
{
    temporary_store_open();
    config = (struct config){.report = {.deferred = true, .deferred_interval_ms = 3600000}};
    rules = classify_open(NULL, &error);
    ck_assert_ptr_nonnull(rules);
    ledger = (struct ledger){.store = store, .config = &config, .rules = rules, .now_ms = 1000000000};
    ck_assert(store_begin(store, STORE_NORMAL, &error));
}

static void end(void)
{
    ck_assert(store_commit(store, &error));
    classify_close(rules);
    temporary_store_close();
}

static struct log_slice slice(const char *text)
{
    return (struct log_slice){text, strlen(text)};
}

/* A note of a line about this recipient. */
static bool note(enum track_verb verb, uint64_t key, const unsigned char *its_uuid, int64_t time_ms,
                 const char *recipient, const char *reason)
{
    bool own = verb == TRACK_OWN_DEFERRED || verb == TRACK_OWN_SETTLED;
    struct postfix_log_line line = {.kind = own ? POSTFIX_LOG_OWN : POSTFIX_LOG_DELIVERY,
                                    .queue_id = slice("4AAAAA"),
                                    .to = slice(recipient),
                                    .dsn = slice("5.1.1"),
                                    .reason = slice(reason)};
    struct track_note told = {.verb = verb,
                              .key = key,
                              .other_key = OTHER_KEY,
                              .uuid = its_uuid,
                              .time_ms = time_ms,
                              .line = &line,
                              .sender = slice("a@example.com"),
                              .noted = true};

    return ledger_note(&ledger, &told);
}

/* ... bounced by this relay */
static bool bounced_by(const char *relay, uint64_t key, const char *recipient, const char *reason)
{
    struct postfix_log_line line = {.kind = POSTFIX_LOG_DELIVERY,
                                    .queue_id = slice("4AAAAA"),
                                    .to = slice(recipient),
                                    .relay = slice(relay),
                                    .dsn = slice("5.7.1"),
                                    .reason = slice(reason)};
    struct track_note told = {.verb = TRACK_BOUNCED,
                              .key = key,
                              .uuid = uuid,
                              .time_ms = 1000,
                              .line = &line,
                              .sender = slice("a@example.com"),
                              .noted = true};

    return ledger_note(&ledger, &told);
}

/* "deferred a@b, delivered a@b", in the order of their ids */
static const char *events(void)
{
    static char text[2048];
    sqlite3_stmt *statement;

    text[0] = '\0';
    sqlite3_prepare_v2(store_handle(store), "SELECT cs, recipient FROM events ORDER BY id", -1, &statement,
                       NULL);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        struct event event = {.cs = (enum event_cs)sqlite3_column_int(statement, 0)};
        size_t length = strlen(text);

        snprintf(text + length, sizeof text - length, "%s%s %s", length > 0 ? ", " : "", event_type(&event),
                 (const char *)sqlite3_column_text(statement, 1));
    }
    sqlite3_finalize(statement);
    return text;
}

static int remembered(void)
{
    sqlite3_stmt *statement;

    sqlite3_prepare_v2(store_handle(store), "SELECT count(*) FROM agent_recipient", -1, &statement, NULL);
    sqlite3_step(statement);
    int count = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return count;
}

START_TEST(a_bounce_that_is_read_again_suppresses_nobody_again)
{
    struct suppression found;

    config.suppression.on_hard_bounce = true;
    for (int reading = 0; reading < 2; reading++) {
        ck_assert(note(TRACK_BOUNCED, KEY, uuid, 1001, "c@d.example",
                       "host x[1.2.3.4] said: 550 5.1.1 User unknown"));
        ck_assert_int_eq(suppression_find(store, "c@d.example", 0, &found, &error), reading == 0);
        suppression_remove(store, "c@d.example", 0, &error); /* a postmaster */
    }
}
END_TEST

START_TEST(a_fate_with_a_uuid_is_an_event_at_once)
{
    ck_assert(note(TRACK_DELIVERED, KEY, uuid, 1000, "a@b.example", "250 ok"));
    ck_assert(
        note(TRACK_BOUNCED, KEY, uuid, 1001, "c@d.example", "host x[1.2.3.4] said: 550 5.1.1 User unknown"));
    ck_assert(
        note(TRACK_BOUNCED, KEY, uuid, 1002, "e@f.example", "host x[1.2.3.4] said: 552 5.2.2 mailbox full"));
    ck_assert(note(TRACK_DISCARDED, KEY, uuid, 1003, "g@h.example", "250 2.7.0 Ok, discarded, id=1 - spam"));
    ck_assert_str_eq(
        events(),
        "delivered a@b.example, bounced c@d.example, soft_bounced e@f.example, dropped g@h.example");
    ck_assert_int_eq(remembered(), 0);
    ck_assert_uint_eq(ledger.counts.events[CS_DELIVERED], 1);
}
END_TEST

START_TEST(a_fate_without_a_uuid_waits_until_it_turns_up)
{
    ck_assert(note(TRACK_DELIVERED, KEY, NULL, 1000, "a@b.example", "250 ok"));
    ck_assert(
        note(TRACK_BOUNCED, KEY, NULL, 1001, "c@d.example", "host x[1.2.3.4] said: 550 5.1.1 User unknown"));
    ck_assert_str_eq(events(), "");
    ck_assert_int_eq(remembered(), 2);
    ck_assert(note(TRACK_ADOPTED, KEY, uuid, 2000, "", ""));
    ck_assert_str_eq(events(), "delivered a@b.example, bounced c@d.example");
    ck_assert_int_eq(remembered(), 0);
    ck_assert_uint_eq(ledger.counts.released, 2);
}
END_TEST

START_TEST(what_was_deferred_before_the_uuid_turned_up_is_deferred_still)
{
    ck_assert(note(TRACK_DEFERRED, KEY, NULL, 1000, "a@b.example", "connection refused"));
    ck_assert(note(TRACK_ADOPTED, KEY, uuid, 2000, "", ""));
    ck_assert_str_eq(events(), "deferred a@b.example");
    ck_assert_int_eq(remembered(), 1);
    ck_assert(note(TRACK_EXPIRED, KEY, uuid, 3000, "", ""));
    ck_assert_str_eq(events(), "deferred a@b.example, soft_bounced a@b.example");
    ck_assert_int_eq(remembered(), 0);
}
END_TEST

START_TEST(what_was_deferred_and_delivered_before_the_uuid_turned_up_does_not_expire)
{
    ck_assert(note(TRACK_DEFERRED, KEY, NULL, 1000, "a@b.example", "connection refused"));
    ck_assert(note(TRACK_DEFERRED, KEY, NULL, 1001, "c@d.example", "connection refused"));
    ck_assert(note(TRACK_DELIVERED, KEY, NULL, 1002, "a@b.example", "250 ok"));
    ck_assert(note(TRACK_ADOPTED, KEY, uuid, 2000, "", ""));
    ck_assert(note(TRACK_EXPIRED, KEY, uuid, 3000, "", ""));
    ck_assert_str_eq(
        events(),
        "deferred a@b.example, deferred c@d.example, delivered a@b.example, soft_bounced c@d.example");
}
END_TEST

#define KILLED "Command time limit exceeded: \"sendpost-pipe\""

/* Its UUID is derived by the pipe, and the queue knows none. */
START_TEST(what_pipe_ended_and_bounced_has_the_uuid_of_its_last_attempt)
{
    static const char *const sources[] = {
        NULL, /* an attempt that is in the log */
        "INSERT INTO deliveries VALUES ('4AAAAA', 'a@b.example', '" UUID_TEXT
        "', '', 'primary', 1, 0, 0, 0, 0, 0, '', '')",
        "INSERT INTO intents VALUES (1, '4AAAAA', 'a@b.example', '" UUID_TEXT "', '', 0, 0)",
    };

    if (sources[_i] == NULL)
        ck_assert(note(TRACK_OWN_DEFERRED, KEY, uuid, 1000, "a@b.example", "4.4.1 out of reach"));
    else
        ck_assert_int_eq(sqlite3_exec(store_handle(store), sources[_i], NULL, NULL, NULL), SQLITE_OK);
    ck_assert(note(TRACK_OWN_KILLED, KEY, NULL, 2000, "a@b.example", KILLED));
    ck_assert(note(TRACK_OWN_KILLED, KEY, NULL, 2000, "c@d.example", KILLED)); /* nothing is known of it */
    ck_assert_str_eq(events(), "soft_bounced a@b.example");
}
END_TEST

START_TEST(repeated_deferrals_are_reported_once_in_the_interval)
{
    for (int64_t minute = 0; minute <= 65; minute += 5)
        ck_assert(
            note(TRACK_DEFERRED, KEY, uuid, 1000 + minute * 60000, "a@b.example", "connection refused"));
    ck_assert_str_eq(events(), "deferred a@b.example, deferred a@b.example");
    ck_assert_uint_eq(ledger.counts.coalesced, 12);
    ck_assert_int_eq(remembered(), 1);
}
END_TEST

START_TEST(a_deferred_recipient_that_is_delivered_does_not_expire)
{
    ck_assert(note(TRACK_DEFERRED, KEY, uuid, 1000, "a@b.example", "connection refused"));
    ck_assert(note(TRACK_DEFERRED, KEY, uuid, 1001, "c@d.example", "connection refused"));
    ck_assert(note(TRACK_DELIVERED, KEY, uuid, 2000, "a@b.example", "250 ok"));
    ck_assert(note(TRACK_EXPIRED, KEY, uuid, 3000, "", ""));
    ck_assert_str_eq(
        events(),
        "deferred a@b.example, deferred c@d.example, delivered a@b.example, soft_bounced c@d.example");
}
END_TEST

START_TEST(what_the_pipe_reports_itself_expires_only_here)
{
    ck_assert(note(TRACK_OWN_DEFERRED, KEY, uuid, 1000, "a@b.example", "4.4.1 out of reach"));
    ck_assert(note(TRACK_OWN_DEFERRED, KEY, uuid, 1001, "c@d.example", "4.4.1 out of reach"));
    ck_assert(note(TRACK_OWN_DEFERRED, KEY, uuid, 1001, "c@d.example", "4.4.1 out of reach"));
    ck_assert(note(TRACK_OWN_SETTLED, KEY, uuid, 1002, "c@d.example", "250 ok"));
    ck_assert_str_eq(events(), "");
    ck_assert(note(TRACK_EXPIRED, KEY, uuid, 3000, "", ""));
    ck_assert_str_eq(events(), "soft_bounced a@b.example");
}
END_TEST

START_TEST(a_message_that_goes_on_under_another_key_takes_its_recipients_along)
{
    ck_assert(note(TRACK_DEFERRED, KEY, uuid, 1000, "a@b.example", "connection refused"));
    ck_assert(note(TRACK_MOVED, KEY, uuid, 1001, "", ""));
    ck_assert(note(TRACK_EXPIRED, KEY, uuid, 1002, "", ""));
    ck_assert_str_eq(events(), "deferred a@b.example");
    ck_assert(note(TRACK_EXPIRED, OTHER_KEY, uuid, 1003, "", ""));
    ck_assert_str_eq(events(), "deferred a@b.example, soft_bounced a@b.example");
}
END_TEST

START_TEST(what_is_forgotten_never_becomes_an_event)
{
    ck_assert(note(TRACK_DELIVERED, KEY, NULL, 1000, "a@b.example", "250 ok"));
    ck_assert(note(TRACK_DELIVERED, OTHER_KEY, NULL, 1000, "a@b.example", "250 ok"));
    ck_assert(note(TRACK_FORGOTTEN, KEY, NULL, 1001, "", ""));
    ck_assert(note(TRACK_ADOPTED, KEY, uuid, 1002, "", ""));
    ck_assert_str_eq(events(), "");
    ck_assert_int_eq(remembered(), 1);
}
END_TEST

START_TEST(the_same_line_read_twice_is_the_same_event)
{
    ck_assert(note(TRACK_DELIVERED, KEY, uuid, 1000, "a@b.example", "250 ok"));
    ck_assert(note(TRACK_DELIVERED, KEY, uuid, 1000, "a@b.example", "250 ok"));
    ck_assert_str_eq(events(), "delivered a@b.example");
}
END_TEST

START_TEST(a_store_that_fails_stops_the_line)
{
    ck_assert(store_commit(store, &error));
    sqlite3_exec(store_handle(store), "DROP TABLE agent_recipient", NULL, NULL, NULL);
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    ck_assert(!note(TRACK_DELIVERED, KEY, NULL, 1000, "a@b.example", "250 ok"));
    ck_assert_uint_gt(strlen(ledger.error.text), 0);
    ck_assert(!note(TRACK_DEFERRED, KEY, uuid, 1000, "a@b.example", "connection refused"));
    ck_assert(!note(TRACK_EXPIRED, KEY, uuid, 1000, "", ""));
}
END_TEST

START_TEST(the_relay_that_refused_decides_between_two_readings)
{
    const char *reason = "host x said: 550 5.7.1 <c@d>: Recipient address rejected: Access denied";

    ck_assert(bounced_by("d.mail.protection.outlook.com[192.0.2.1]:25", KEY, "c@d.example", reason));
    ck_assert(bounced_by("mx.d.example[192.0.2.2]:25", KEY, "e@d.example", reason));
    ck_assert(bounced_by("none", KEY, "f@d.example", reason));
    ck_assert_str_eq(events(), "bounced c@d.example, soft_bounced e@d.example, soft_bounced f@d.example");
}
END_TEST

UNIT_SUITE(ledger_suite)
{
    Suite *suite = suite_create("ledger");
    TCase *tcase = tcase_create("ledger");

    tcase_add_checked_fixture(tcase, begin, end);
    tcase_add_test(tcase, a_bounce_that_is_read_again_suppresses_nobody_again);
    tcase_add_test(tcase, a_fate_with_a_uuid_is_an_event_at_once);
    tcase_add_test(tcase, a_fate_without_a_uuid_waits_until_it_turns_up);
    tcase_add_test(tcase, what_was_deferred_before_the_uuid_turned_up_is_deferred_still);
    tcase_add_test(tcase, what_was_deferred_and_delivered_before_the_uuid_turned_up_does_not_expire);
    tcase_add_loop_test(tcase, what_pipe_ended_and_bounced_has_the_uuid_of_its_last_attempt, 0, 3);
    tcase_add_test(tcase, repeated_deferrals_are_reported_once_in_the_interval);
    tcase_add_test(tcase, a_deferred_recipient_that_is_delivered_does_not_expire);
    tcase_add_test(tcase, what_the_pipe_reports_itself_expires_only_here);
    tcase_add_test(tcase, a_message_that_goes_on_under_another_key_takes_its_recipients_along);
    tcase_add_test(tcase, what_is_forgotten_never_becomes_an_event);
    tcase_add_test(tcase, the_same_line_read_twice_is_the_same_event);
    tcase_add_test(tcase, a_store_that_fails_stops_the_line);
    tcase_add_test(tcase, the_relay_that_refused_decides_between_two_readings);
    suite_add_tcase(suite, tcase);
    return suite;
}
