#include "agent/small_log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#include "base/clock.h"
#include "suites.h"

#define UUID "31bdc664-f741-5a76-b8dc-9a801744f747"
#define BEGIN                                                                                    \
    "Nov 23 05:29:37 mx postfix/cleanup[1]: 4AAAAA: info: header X-Sendpost-Message-UUID: " UUID \
    " from local; from=<a@b> to=<c@d>\n"

static void begin(void)
{
    small_log_begin((struct config){.report = {.deferred = true}});
}

/* "deferred a@b, delivered a@b" */
static const char *events(void)
{
    static char text[4096];
    sqlite3_stmt *statement;

    text[0] = '\0';
    sqlite3_prepare_v2(store_handle(store), "SELECT cs, recipient FROM events ORDER BY id", -1, &statement,
                       NULL);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        size_t length = strlen(text);
        struct event event = {.cs = (enum event_cs)sqlite3_column_int(statement, 0)};
        snprintf(text + length, sizeof text - length, "%s%s %s", length > 0 ? ", " : "", event_type(&event),
                 (const char *)sqlite3_column_text(statement, 1));
    }
    sqlite3_finalize(statement);
    return text;
}

static int rows(const char *sql)
{
    sqlite3_stmt *statement;

    sqlite3_prepare_v2(store_handle(store), sql, -1, &statement, NULL);
    sqlite3_step(statement);
    int count = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return count;
}

#define DELIVERY(time, to, status)                        \
    "Nov 23 " time " mx postfix/smtp[1]: 4AAAAA: to=<" to \
    ">, relay=mx[10.0.0.2]:25, delay=1, dsn=4.0.0, status=" status "\n"

START_TEST(each_attempt_that_is_deferred_is_an_event)
{
    reads(BEGIN DELIVERY("05:30:00", "a@b", "deferred (busy)"));
    reads(DELIVERY("05:40:00", "a@b", "deferred (busy)"));
    reads(DELIVERY("05:50:00", "a@b", "sent (250 ok)"));
    ck_assert_str_eq(events(), "deferred a@b, deferred a@b, delivered a@b");
    ck_assert_int_eq(rows("SELECT count(*) FROM agent_recipient"), 0);
}
END_TEST

START_TEST(repeated_deferrals_are_coalesced_when_so_configured)
{
    config.report.deferred_interval_ms = 900 * 1000;
    reads(BEGIN DELIVERY("05:30:00", "a@b", "deferred (busy)")
              DELIVERY("05:30:00", "c@d", "deferred (busy)"));
    reads(DELIVERY("05:40:00", "a@b", "deferred (busy)"));
    ck_assert_str_eq(events(), "deferred a@b, deferred c@d");
    ingest_close(ingest);
    open_ingest(); /* also by the next process */
    reads(DELIVERY("05:44:59", "a@b", "deferred (busy)"));
    reads(DELIVERY("05:45:00", "a@b", "deferred (busy)"));
    ck_assert_str_eq(events(), "deferred a@b, deferred c@d, deferred a@b");
}
END_TEST

START_TEST(expiry_bounces_those_that_were_deferred_and_only_those)
{
    reads(BEGIN DELIVERY("05:30:00", "a@b", "deferred (host mx[10.0.0.2] said: 450 4.2.0 later)"));
    reads(DELIVERY("05:30:00", "c@d", "sent (250 ok)"));
    ingest_close(ingest);
    open_ingest();
    reads("Nov 23 06:00:00 mx postfix/qmgr[1]: 4AAAAA: from=<a@b>, status=expired, returned to sender\n");
    ck_assert_str_eq(events(), "deferred a@b, delivered c@d, soft_bounced a@b");
    ck_assert_int_eq(rows("SELECT smtp_code FROM events WHERE cs = 64"), 450);
    ck_assert_int_eq(rows("SELECT count(*) FROM events WHERE message_id = '" UUID "'"), 3);
}
END_TEST

START_TEST(a_deferral_by_the_pipe_is_no_event_but_its_expiry_is)
{
    reads("Nov 23 05:30:00 mx postfix-sendpost/pipe[1]: 4AAAAA: to=<a@b>, tpsp=x, relay=none, delay=1, "
          "dsn=4.4.1, uuid=" UUID ", status=deferred (connect: Connection refused)\n");
    reads("Nov 23 05:30:00 mx postfix/pipe[1]: 4AAAAA: to=<a@b>, relay=sendpost, delay=1, dsn=4.4.1, "
          "status=deferred (x)\n");
    ck_assert_str_eq(events(), "");
    reads("Nov 23 06:00:00 mx postfix/qmgr[1]: 4AAAAA: from=<a@b>, status=expired, returned to sender\n");
    ck_assert_str_eq(events(), "soft_bounced a@b");
    ck_assert_int_eq(rows("SELECT count(*) FROM events WHERE message_id = '" UUID "'"), 1);
}
END_TEST

START_TEST(a_fate_that_came_before_its_uuid_is_reported_with_it)
{
    reads("Nov 23 05:30:00 mx postfix/smtpd[1]: 4AAAAA: client=localhost[127.0.0.1]\n" DELIVERY(
        "05:30:01", "a@b", "deferred (busy)"));
    ck_assert_str_eq(events(), "");
    ingest_close(ingest);
    open_ingest();
    reads("Nov 23 05:30:02 mx postfix/cleanup[1]: 4BBBBB: info: header X-Sendpost-Message-UUID: " UUID
          " from local; from=<a@b> to=<c@d>\n"
          "Nov 23 05:30:02 mx postfix/smtp[1]: 4BBBBB: to=<a@b>, relay=127.0.0.1[127.0.0.1]:10024, "
          "dsn=2.0.0, status=sent "
          "(250 2.0.0 Ok: queued as 4AAAAA)\n");
    ck_assert_str_eq(events(), "deferred a@b");
    reads("Nov 23 06:00:00 mx postfix/qmgr[1]: 4AAAAA: from=<a@b>, status=expired, returned to sender\n");
    ck_assert_str_eq(events(), "deferred a@b, soft_bounced a@b");
}
END_TEST

START_TEST(an_event_names_the_sender_that_the_queue_manager_named)
{
    reads(BEGIN "Nov 23 05:30:00 mx postfix/qmgr[1]: 4AAAAA: from=<news@shop.example>, size=5, nrcpt=1 "
                "(queue active)\n" DELIVERY("05:30:00", "a@b", "sent (250 ok)"));
    ck_assert_int_eq(rows("SELECT count(*) FROM events WHERE sender = 'news@shop.example'"), 1);
}
END_TEST

START_TEST(discarded_mail_is_dropped_mail)
{
    reads("Nov 23 05:29:00 mx postfix/pickup[1]: 4AAAAA: uid=0 from=<a@b>\n" BEGIN
          "Nov 23 05:30:00 mx postfix/discard[1]: 4AAAAA: to=<a@b>, relay=none, delay=1, dsn=2.0.0, "
          "status=sent (x)\n");
    ck_assert_str_eq(events(), "dropped a@b");
}
END_TEST

START_TEST(correlations_survive_a_restart)
{
    FILE *file = fopen(log_path, "a");
    for (int i = 0; i < 3000; i++)
        fprintf(file,
                "Nov 23 05:29:37 mx postfix/cleanup[1]: 4%05dA: info: header X-Sendpost-Message-UUID: "
                "31bdc664-f741-5a76-b8dc-%012x from local; from=<a@b> to=<c@d>\n",
                i, i);
    fclose(file);
    reads("");
    for (int round = 0; round < 2; round++) {
        struct ingest_status status;
        ingest_close(ingest);
        open_ingest();
        ingest_status(ingest, &status);
        ck_assert_uint_eq(status.correlations, 3000);
    }
    reads("Nov 23 05:30:00 mx postfix/smtp[1]: 402999A: to=<z@z>, relay=mx[10.0.0.2]:25, dsn=2.0.0, "
          "status=sent (250 ok)\n");
    ck_assert_int_eq(
        rows("SELECT count(*) FROM events WHERE message_id = '31bdc664-f741-5a76-b8dc-000000000bb7'"), 1);
}
END_TEST

/* Whatever end the agent comes to between the parts of a line, it reads the line once. */
START_TEST(parts_of_a_line_wait_for_each_other_also_over_a_restart)
{
    reads(BEGIN
          "2026-11-23T05:30:00.1Z stdout P Nov 23 05:30:00 mx postfix/smtp[1]: 4AAAAA: to=<a@b>, rel\n");
    ck_assert_str_eq(events(), "");
    ck_assert_int_eq(rows("SELECT length(text) > 0 FROM log_piece WHERE stream = 0"), 1);
    ingest_close(ingest);
    open_ingest();
    reads("2026-11-23T05:30:00.1Z stdout P ay=mx[10.0.0.2]:25, delay=1, \n"
          "2026-11-23T05:30:00.1Z stderr F another stream\n"
          "2026-11-23T05:30:00.1Z stdout F dsn=2.0.0, status=sent (250 ok)\n");
    ck_assert_str_eq(events(), "delivered a@b");
    ck_assert_int_eq(rows("SELECT sum(length(text)) FROM log_piece"), 0);
    ingest_close(ingest);
    open_ingest();
    reads("2026-11-23T05:30:01Z stdout F Nov 23 05:30:01 mx postfix/smtp[1]: 4AAAAA: to=<c@d>, "
          "relay=mx[10.0.0.2]:25, dsn=2.0.0, status=sent (250 ok)\n");
    ck_assert_str_eq(events(), "delivered a@b, delivered c@d");
}
END_TEST

/* Classic stamps have no year: the file's time gives it. */
static int64_t days_ago_ms(int days)
{
    static int64_t now_ms; /* of all files and lines of a test */

    if (now_ms == 0)
        now_ms = clock_realtime_ms();
    return now_ms - days * INT64_C(24) * 3600 * 1000;
}

static void set_time(const char *path, int64_t ms)
{
    struct timespec times[2] = {{.tv_sec = (time_t)(ms / 1000)}, {.tv_sec = (time_t)(ms / 1000)}};

    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* A message of its own, from birth to delivery. */
static const char *message_days_ago(int days)
{
    static char text[1024];
    char stamp[32];
    time_t at = (time_t)(days_ago_ms(days) / 1000);
    struct tm local;

    localtime_r(&at, &local);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
    snprintf(text, sizeof text,
             "%s mx postfix/cleanup[1]: 4%05d: info: header X-Sendpost-Message-UUID: "
             "31bdc664-f741-5a76-b8dc-%012d from local; from=<a@b> to=<c@d>\n"
             "%s mx postfix/smtp[1]: 4%05d: to=<a@b>, relay=mx[10.0.0.2]:25, dsn=2.0.0, status=sent (ok)\n",
             stamp, days, days, stamp, days);
    return text;
}

static void write_to(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
}

START_TEST(lines_of_a_compressed_log_are_of_the_year_in_which_they_were_written)
{
    char path[160], sql[160];

    reads(message_days_ago(6));
    ingest_close(ingest);
    snprintf(sql, sizeof sql, "UPDATE log_position SET modified_ms = %lld", (long long)days_ago_ms(6));
    ck_assert_int_eq(sqlite3_exec(store_handle(store), sql, NULL, NULL, NULL), SQLITE_OK);
    snprintf(path, sizeof path, "%s.1.gz", log_path);
    gzFile compressed = gzopen(path, "w");
    gzputs(compressed, message_days_ago(6));
    gzputs(compressed, message_days_ago(3));
    gzclose(compressed);
    set_time(path, days_ago_ms(3));
    write_to(log_path, message_days_ago(1));
    open_ingest();
    reads("");
    ck_assert_str_eq(events(), "delivered a@b, delivered a@b, delivered a@b");
    snprintf(sql, sizeof sql, "SELECT count(*) FROM events WHERE timestamp_ms > %lld",
             (long long)days_ago_ms(7));
    ck_assert_int_eq(rows(sql), 3);
}
END_TEST

/* "2026-11-23T05:29:37+00:00" */
static void stamp_days_ago(int days, char stamp[32])
{
    time_t at = (time_t)(days_ago_ms(days) / 1000);
    struct tm utc;

    gmtime_r(&at, &utc);
    strftime(stamp, 32, "%Y-%m-%dT%H:%M:%S+00:00", &utc);
}

START_TEST(a_line_of_a_clock_that_is_ahead_forgets_nobody)
{
    char text[512], stamp[32], ahead[32];

    stamp_days_ago(1, stamp);
    stamp_days_ago(-20, ahead);
    snprintf(text, sizeof text,
             "%s mx postfix/cleanup[1]: 4AAAAA: info: header X-Sendpost-Message-UUID: " UUID
             " from local; from=<a@b> to=<c@d>\n",
             stamp);
    reads(text);
    snprintf(text, sizeof text, "%s mx postfix/smtpd[1]: 4BBBBB: client=x[10.0.0.1]\n", ahead);
    reads(text);
    snprintf(text, sizeof text,
             "%s mx postfix/smtp[1]: 4AAAAA: to=<a@b>, relay=mx[10.0.0.2]:25, dsn=2.0.0, status=sent (ok)\n",
             stamp);
    reads(text);
    ck_assert_str_eq(events(), "delivered a@b");
}
END_TEST

static const char *born_years_ago(const char *queue_id)
{
    static char line[256];

    snprintf(
        line, sizeof line,
        "1970-01-01T00:05:00+00:00 mx postfix/cleanup[1]: %s: info: header X-Sendpost-Message-UUID: " UUID
        " from local; from=<a@b> to=<c@d>\n",
        queue_id);
    return line;
}

/* It boots with its clock years back, which is then set; also while the agent is restarted. */
START_TEST(a_clock_that_is_set_right_forgets_nobody)
{
    reads(born_years_ago("4AAAAA"));
    reads("Nov 23 05:30:00 mx postfix/smtpd[1]: 4BBBBB: client=x[10.0.0.1]\n");
    ingest_close(ingest);
    open_ingest();
    reads("Nov 23 05:30:01 mx postfix/smtpd[1]: 4CCCCC: client=x[10.0.0.1]\n");
    reads(DELIVERY("05:31:00", "a@b", "sent (250 ok)"));
    ck_assert_str_eq(events(), "delivered a@b");
}
END_TEST

/* As a person moves it away, or a program that finds it corrupt. */
static void move_store_away(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char from[160], to[160];

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(from, sizeof from, "%s/state.db%s", temporary_directory, suffixes[i]);
        snprintf(to, sizeof to, "%s/away.db%s", temporary_directory, suffixes[i]);
        rename(from, to);
    }
}

START_TEST(all_correlations_and_parts_go_into_a_new_store)
{
    reads(BEGIN);
    reads("2026-11-23T05:30:00.1Z stdout P Nov 23 05:30:00 mx postfix/smtp[1]: 4AAAAA: to=<a@b>, rel\n");
    for (int i = 0; i < 200; i++) { /* of other blocks */
        char line[128];
        snprintf(line, sizeof line, "Nov 23 05:29:37 mx postfix/smtpd[1]: 5%05d: client=x[10.0.0.1]\n", i);
        reads(line);
    }
    move_store_away();
    reads("Nov 23 05:29:38 mx postfix/smtpd[1]: 6AAAAA: client=x[10.0.0.1]\n");
    ingest_close(ingest);
    open_ingest();
    reads("2026-11-23T05:30:00.1Z stdout F ay=mx[10.0.0.2]:25, dsn=2.0.0, status=sent (250 ok)\n");
    ck_assert_str_eq(events(), "delivered a@b");
}
END_TEST

START_TEST(lines_whose_events_met_a_broken_store_are_read_again_for_a_new_one)
{
    ingest_close(ingest);
    ingest = ingest_open(&config, store, rules, false, &error);
    sqlite3_exec(store_handle(store),
                 "CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(FAIL, 'no'); END", NULL, NULL,
                 NULL);
    reads(BEGIN DELIVERY("05:30:00", "a@b", "sent (250 ok)"));
    ck_assert_str_eq(events(), "");
    move_store_away(); /* and with it the position */
    reads("");
    ck_assert_str_eq(events(), "delivered a@b");
}
END_TEST

UNIT_SUITE(ingest_suite)
{
    Suite *suite = suite_create("ingest");
    TCase *tcase = tcase_create("ingest");

    tcase_add_checked_fixture(tcase, begin, small_log_end);
    tcase_add_test(tcase, each_attempt_that_is_deferred_is_an_event);
    tcase_add_test(tcase, repeated_deferrals_are_coalesced_when_so_configured);
    tcase_add_test(tcase, expiry_bounces_those_that_were_deferred_and_only_those);
    tcase_add_test(tcase, a_deferral_by_the_pipe_is_no_event_but_its_expiry_is);
    tcase_add_test(tcase, a_fate_that_came_before_its_uuid_is_reported_with_it);
    tcase_add_test(tcase, an_event_names_the_sender_that_the_queue_manager_named);
    tcase_add_test(tcase, discarded_mail_is_dropped_mail);
    tcase_add_test(tcase, correlations_survive_a_restart);
    tcase_add_test(tcase, parts_of_a_line_wait_for_each_other_also_over_a_restart);
    tcase_add_test(tcase, lines_of_a_compressed_log_are_of_the_year_in_which_they_were_written);
    tcase_add_test(tcase, a_line_of_a_clock_that_is_ahead_forgets_nobody);
    tcase_add_test(tcase, a_clock_that_is_set_right_forgets_nobody);
    tcase_add_test(tcase, all_correlations_and_parts_go_into_a_new_store);
    tcase_add_test(tcase, lines_whose_events_met_a_broken_store_are_read_again_for_a_new_one);
    suite_add_tcase(suite, tcase);
    return suite;
}
