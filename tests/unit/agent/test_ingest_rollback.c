/* A piece of the log that the store does not take is read again, and counts once. */
#include <string.h>

#include "agent/small_log.h"
#include "base/clock.h"
#include "policy/slow_down_answers.h"
#include "policy/slow_down_private.h"
#include "stored_events.h"
#include "suites.h"

#define UUID "00000000-0000-5000-8000-000000000001" /* of make(1, ...) */
#define UUID_LINE(queue_id, to)                                                                        \
    "Nov 23 05:30:02 mx postfix/cleanup[1]: " queue_id ": info: header X-Sendpost-Message-UUID: " UUID \
    " from local; from=<a@b> to=<" to ">\n"
#define DEFERRED(time, queue_id, to)                            \
    "Nov 23 " time " mx postfix/smtp[1]: " queue_id ": to=<" to \
    ">, relay=mx[10.0.0.2]:25, delay=1, dsn=4.0.0, status=deferred (busy)\n"
/* One is a deliverer that was killed, two in a row are trouble. */
#define OURS_IN_TROUBLE                                                                          \
    "Nov 23 05:31:01 mx postfix/pipe[1]: 4CCCCC: to=<a@b>, relay=sendpost, delay=1, dsn=4.3.0, " \
    "status=deferred (no state directory)\n"
/* One is passed over, three in a row are trouble. */
#define UNREAD "Nov 23 05:31:02 mx postfix/smtp[1]: 4CCCCC: to=<a@b>, relay=x\n"

static struct config_tpsp tpsp = {.name = (char *)"primary"};
static struct ingest_status status;

static void begin(void)
{
    small_log_begin((struct config){.path = temporary_directory,
                                    .tpsps = &tpsp,
                                    .tpsp_count = 1,
                                    .report = {.deferred = true},
                                    .slow_down = {.statistics = {.window_ms = 600000}}});
}

static void reads_and_looks(const char *text)
{
    reads(text);
    ingest_status(ingest, &status);
}

/* The last that is written before a piece is committed. */
static void refuse_positions(bool refuse)
{
    const char *sql =
        refuse ? "CREATE TRIGGER no BEFORE INSERT ON log_position BEGIN SELECT RAISE(FAIL, 'no'); END"
               : "DROP TRIGGER no";

    ck_assert_int_eq(sqlite3_exec(store_handle(store), sql, NULL, NULL, NULL), SQLITE_OK);
}

static void reads_in_vain(const char *text)
{
    refuse_positions(true);
    reads_and_looks(text);
    reads_and_looks("");
    reads_and_looks("");
    refuse_positions(false);
}

static int events_of(const char *recipient)
{
    sqlite3_stmt *statement;

    sqlite3_prepare_v2(store_handle(store), "SELECT count(*) FROM events WHERE source = 1 AND recipient = ?",
                       -1, &statement, NULL);
    sqlite3_bind_text(statement, 1, recipient, -1, SQLITE_STATIC);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int count = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return count;
}

START_TEST(its_events_are_taken_back)
{
    reads_and_looks(UUID_LINE("4AAAAA", "a@b"));
    reads_in_vain(
        DEFERRED("05:30:03", "4AAAAA", "a@b") "Nov 23 05:30:04 mx postfix/qmgr[1]: 4AAAAA: removed\n");
    ck_assert_int_eq(events_of("a@b"), 0);
    reads_and_looks("");
    ck_assert_int_eq(events_of("a@b"), 1);
}
END_TEST

START_TEST(its_counts_are_taken_back)
{
    config.report.deferred_interval_ms = 900 * 1000;
    reads_and_looks("Nov 23 05:29:00 mx postfix/smtpd[1]: 4AAAAA: client=localhost[127.0.0.1]\n" DEFERRED(
        "05:30:00", "4AAAAA", "a@b"));
    reads_in_vain(UUID_LINE(
        "4BBBBB",
        "c@d") "Nov 23 05:30:02 mx postfix/smtp[1]: 4BBBBB: to=<a@b>, relay=127.0.0.1[127.0.0.1]:10024, "
               "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4AAAAA)\n" DEFERRED(
                   "05:31:00", "4AAAAA", "a@b") OURS_IN_TROUBLE UNREAD);
    ck_assert_uint_eq(status.counts.lines, 2);
    ck_assert_uint_eq(status.events[CS_DEFERRED], 0);
    ck_assert_uint_eq(status.coalesced, 0);
    ck_assert_uint_eq(status.counts.uncorrelated, 1); /* it has not got its UUID yet */
    reads_and_looks("");
    ck_assert_uint_eq(status.counts.lines, 7);
    ck_assert_uint_eq(status.events[CS_DEFERRED], 1);
    ck_assert_uint_eq(status.coalesced, 1);
    ck_assert_uint_eq(status.counts.uncorrelated, 0);
}
END_TEST

/* What is trouble only when it is said again. */
START_TEST(what_was_said_once_is_not_said_twice)
{
    reads_in_vain(OURS_IN_TROUBLE UNREAD);
    reads_and_looks("");
    ck_assert_str_eq(status.transport, "");
    ck_assert_uint_eq(status.unread, 0);
}
END_TEST

static uint64_t deferrals_heard_of(void)
{
    struct rate_table *table;

    ck_assert(rate_table_open(&table, temporary_directory, &rate_clock_system, &error));
    uint64_t heard = slow_down_counted(table, "primary", slow_down_scope(NULL),
                                       config.slow_down.statistics.window_ms * 1000000, 0)
                         .deferred;
    rate_table_close(table);
    return heard;
}

START_TEST(slow_down_hears_it_once_and_no_sooner_than_it_is_kept)
{
    char line[300], stamp[40];
    time_t now = (time_t)(clock_realtime_ms() / 1000);
    struct tm utc;

    config.slow_down.enabled = true;
    add(1, CS_DELIVERED, EVENT_REPORTED, "primary", 0);
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S+00:00", &utc);
    snprintf(
        line, sizeof line,
        "%s mx postfix/smtp[1]: 4AAAAA: to=<user1@example.com>, relay=mx[10.0.0.2]:25, delay=1, dsn=4.0.0, "
        "status=deferred (host mx[10.0.0.2] said: 450 4.7.1 too many messages)\n",
        stamp);
    reads_and_looks(UUID_LINE("4AAAAA", "user1@example.com"));
    reads_in_vain(line);
    ck_assert_uint_eq(deferrals_heard_of(), 0);
    reads_and_looks("");
    ck_assert_uint_eq(deferrals_heard_of(), 1);
}
END_TEST

UNIT_SUITE(ingest_rollback_suite)
{
    Suite *suite = suite_create("ingest_rollback");
    TCase *tcase = tcase_create("ingest_rollback");

    tcase_add_checked_fixture(tcase, begin, small_log_end);
    tcase_add_test(tcase, its_events_are_taken_back);
    tcase_add_test(tcase, its_counts_are_taken_back);
    tcase_add_test(tcase, what_was_said_once_is_not_said_twice);
    tcase_add_test(tcase, slow_down_hears_it_once_and_no_sooner_than_it_is_kept);
    suite_add_tcase(suite, tcase);
    return suite;
}
