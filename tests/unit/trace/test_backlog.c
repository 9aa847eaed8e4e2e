#include "trace/backlog.h"

#include <string.h>

#include "base/clock.h"
#include "policy/limit_words.h"
#include "suites.h"
#include "temporary_store.h"

#define ARRIVAL_S "1764165600"
#define LINE(queue, id, rest)                                                                \
    "{\"queue_name\": \"" queue "\", \"queue_id\": \"" id "\", \"arrival_time\": " ARRIVAL_S \
    ", \"message_size\": 1, \"sender\": \"a@example.org\", \"recipients\": [{\"address\": "  \
    "\"b@example.com\"" rest "}]}\n"
#define WAITS(words) LINE("deferred", "4bNew", ", \"delay_reason\": \"" words "\"")
#define RETRIED(words) LINE("deferred", "4bRetried", ", \"delay_reason\": \"" words "\"")
#define HELD(words) LINE("deferred", "4bHeld", ", \"delay_reason\": \"" words "\"")

static struct backlog backlog;

static void setup(void)
{
    temporary_store_open();
    sqlite3_stmt *insert = store_statement(
        store,
        "INSERT INTO deliveries VALUES (?, 'b@example.com', 'u', 'a@example.org', 'primary', 1, ?,"
        " 1764169200000, 0, 0, 450, '', '')",
        &error);
    ck_assert_msg(insert != NULL, "%s", error.text);
    for (int held = 0; held < 2; held++) {
        sqlite3_bind_text(insert, 1, held ? "4bHeld" : "4bRetried", -1, SQLITE_STATIC);
        sqlite3_bind_int(insert, 2, held);
        ck_assert_msg(store_run(store, insert, &error), "%s", error.text);
    }
}

static void read_queue(struct store *from, const char *text)
{
    ck_assert_msg(backlog_read(&backlog, from, text, true, clock_monotonic_ms() + 60000, &error), "%s",
                  error.text);
}

static const struct {
    const char *text;
    enum backlog_wait wait;
} waits[] = {
    {WAITS("rate limit of TPSP primary: 100/h (provider gmail) reached, next slot in 34 s"), BACKLOG_RATE},
    {WAITS("TPSP primary" LIMIT_WORDS_CONNECTIONS "5 of max-connections"), BACKLOG_RATE},
    {WAITS("TPSP primary is paused, as it asked for, for 600 s more"), BACKLOG_RATE},
    {WAITS("TPSP primary is suspended until it is resumed (rate limit of TPSP x)"), BACKLOG_SUSPENDED},
    {WAITS("host mx.example.com said: 450 4.2.1 this account is suspended for now"), BACKLOG_OTHER},
    {WAITS("TPSP primary is left alone after 5 failures in a row, next attempt in 4 s"), BACKLOG_ALONE},
    {WAITS("host mx.example.com said: 450 4.2.0 later"), BACKLOG_OTHER},
    {RETRIED("attempt 1 of 6 failed: 450 later; not due before 2025-11-26T15:00:00Z"), BACKLOG_ATTEMPT},
    {RETRIED("rate limit of TPSP primary: 100/h spread, next slot in 34 s"), BACKLOG_RATE},
    {HELD("TPSP primary is left alone after 1 failures in a row, next attempt in 4 s"), BACKLOG_HELD},
    {LINE("deferred", "4bNew", ""), BACKLOG_OTHER},
    {LINE("active", "4bNew", ""), BACKLOG_MOVING},
    {LINE("incoming", "4bNew", ""), BACKLOG_MOVING},
    {LINE("hold", "4bNew", ", \"delay_reason\": \"later\""), BACKLOG_STOPPED},
};

START_TEST(what_waits_is_told_by_what_it_waits_for)
{
    read_queue(store, waits[_i].text);
    ck_assert_uint_eq(backlog.messages, 1);
    ck_assert_int_eq(backlog.oldest_ms, 1764165600000);
    for (enum backlog_wait wait = 0; wait < BACKLOG_WAITS; wait++)
        ck_assert_msg(backlog.recipients[wait] == (wait == waits[_i].wait), "%s: %s", backlog_wait_name(wait),
                      waits[_i].text);
}
END_TEST

START_TEST(without_the_store_reasons_tell)
{
    read_queue(NULL, HELD("TPSP primary is left alone after 1 failures in a row") RETRIED("later"));
    ck_assert_uint_eq(backlog.recipients[BACKLOG_ALONE], 1);
    ck_assert_uint_eq(backlog.recipients[BACKLOG_OTHER], 1);
}
END_TEST

START_TEST(reasons_that_differ_in_numbers_alone_are_one)
{
    read_queue(store, WAITS("450 later, session 17") WAITS("451 busy") WAITS("450 later, session 4"));
    ck_assert_uint_eq(backlog.reason_count, 2);
    ck_assert_uint_eq(backlog.reasons[0].count, 2);
    ck_assert_str_eq(backlog.reasons[0].text, "450 later, session 17");
}
END_TEST

START_TEST(what_is_no_queue_is_passed_over)
{
    read_queue(store, "not JSON\n{}\n\n[1]\n" WAITS("later") "{\"queue_name\": \"deferred");
    ck_assert_uint_eq(backlog.recipients[BACKLOG_OTHER], 1);
    read_queue(store, "");
    ck_assert_uint_eq(backlog.messages, 0);
    ck_assert_int_eq(backlog.oldest_ms, 0);
}
END_TEST

START_TEST(an_address_cannot_pass_for_a_member)
{
    read_queue(store, "{\"queue_id\": \"4b\", \"sender\": \"\\\"queue_name\\\": \\\"hold\\\"@x\","
                      " \"recipients\": []}\n");
    ck_assert_uint_eq(backlog.recipients[BACKLOG_STOPPED], 0);
}
END_TEST

UNIT_SUITE(backlog_suite)
{
    Suite *suite = suite_create("backlog");
    TCase *tcase = tcase_create("backlog");

    tcase_add_checked_fixture(tcase, setup, temporary_store_close);
    tcase_add_loop_test(tcase, what_waits_is_told_by_what_it_waits_for, 0, sizeof waits / sizeof waits[0]);
    tcase_add_test(tcase, without_the_store_reasons_tell);
    tcase_add_test(tcase, reasons_that_differ_in_numbers_alone_are_one);
    tcase_add_test(tcase, what_is_no_queue_is_passed_over);
    tcase_add_test(tcase, an_address_cannot_pass_for_a_member);
    suite_add_tcase(suite, tcase);
    return suite;
}
