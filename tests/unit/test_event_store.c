#include "event/event_outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "suites.h"

static char directory[64];
static struct store *store;
static struct outcome error;

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/sendpost-events.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_msg(store_open(&store, directory, &error), "%s", error.text);
}

static void tear_down(void)
{
    store_close(store);
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", directory, (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

static struct event make(int number, enum event_cs cs, const char *tpsp)
{
    struct event event = {
        .cs = cs, .source = EVENT_SOURCE_PIPE, .timestamp_ms = 1000 + number, .attempt = number};

    snprintf(event.message_id, sizeof event.message_id, "00000000-0000-5000-8000-%012d", number);
    snprintf(event.recipient, sizeof event.recipient, "user%d@example.com", number);
    snprintf(event.queue_id, sizeof event.queue_id, "Q%d", number);
    snprintf(event.tpsp, sizeof event.tpsp, "%s", tpsp);
    snprintf(event.smtp_description, sizeof event.smtp_description, "said \xc3\xa4");
    event_identify(&event, "");
    return event;
}

static void add(int number, enum event_cs cs, enum event_state state, const char *tpsp, int64_t due_ms)
{
    struct event event = make(number, cs, tpsp);

    ck_assert_msg(event_store_add(store, &event, state, due_ms, &error), "%s", error.text);
}

static int64_t count(enum event_state state)
{
    int64_t number = -1;

    ck_assert(event_store_count(store, state, &number, &error));
    return number;
}

START_TEST(an_event_comes_back_as_it_was_stored)
{
    struct event stored = make(1, CS_DELIVERED, "primary"), found;
    enum event_state state;

    ck_assert(event_store_add(store, &stored, EVENT_PENDING, 0, &error));
    ck_assert_int_eq(event_store_find_accepted(store, "Q1", stored.message_id, "user1@example.com", &found,
                                               &state, &error),
                     1);
    ck_assert_int_gt(found.row, 0);
    stored.row = found.row;
    ck_assert_mem_eq(&found, &stored, sizeof found);
    ck_assert_int_eq(state, EVENT_PENDING);
}
END_TEST

START_TEST(only_the_same_delivery_counts_as_accepted)
{
    struct event found;
    enum event_state state;
    struct event one = make(1, CS_DELIVERED, "p");

    add(1, CS_DELIVERED, EVENT_REPORTED, "p", 0);
    add(2, CS_DEFERRED, EVENT_REPORTED, "p", 0);
    ck_assert_int_eq(
        event_store_find_accepted(store, "Q1", one.message_id, "other@example.com", &found, &state, &error),
        0);
    ck_assert_int_eq(
        event_store_find_accepted(store, "Q2", one.message_id, "user1@example.com", &found, &state, &error),
        0);
    ck_assert_int_eq(event_store_find_accepted(store, "Q2", make(2, CS_SENT, "").message_id,
                                               "user2@example.com", &found, &state, &error),
                     0);
}
END_TEST

START_TEST(a_second_event_with_the_same_id_changes_nothing)
{
    add(1, CS_DELIVERED, EVENT_REPORTED, "p", 0);
    add(1, CS_DELIVERED, EVENT_PENDING, "p", 0);
    ck_assert_int_eq(count(EVENT_REPORTED), 1);
    ck_assert_int_eq(count(EVENT_PENDING), 0);
}
END_TEST

static struct event batch[1000];

/* How many there are in the batch; which they are is then in batch. */
static int read_batch(int64_t now_ms, int limit)
{
    int number = event_outbox_read(store, "p", now_ms, now_ms, limit, batch, &error);

    ck_assert_msg(number >= 0, "%s", error.text);
    return number;
}

START_TEST(what_is_due_is_read_in_its_order)
{
    for (int i = 1; i <= 5; i++)
        add(i, CS_DELIVERED, EVENT_PENDING, "p", i < 3 ? 100 : 50);
    ck_assert_int_eq(read_batch(49, 10), 0);
    ck_assert_int_eq(read_batch(50, 10), 3);
    ck_assert_int_eq(read_batch(100, 10), 5);
    ck_assert_int_eq(batch[0].attempt, 3);
    ck_assert_int_eq(batch[2].attempt, 5);
    ck_assert_int_eq(batch[3].attempt, 1);
    ck_assert_int_eq(batch[4].attempt, 2);
    ck_assert_int_eq(event_outbox_read(store, "other", 9000, 9000, 10, batch, &error), 0);
}
END_TEST

START_TEST(nobody_is_given_what_its_writer_is_reporting)
{
    add(1, CS_DELIVERED, EVENT_PENDING, "p", 500);
    ck_assert(event_outbox_hasten(store, 499, &error));
    ck_assert_int_eq(read_batch(499, 10), 0);
    ck_assert_int_eq(read_batch(500, 10), 1);
    ck_assert(event_outbox_keep(store, &batch[0], 400, 0, &error)); /* it has given up early */
    ck_assert_int_eq(read_batch(400, 10), 1);
}
END_TEST

START_TEST(an_event_that_was_put_off_keeps_its_place)
{
    struct event event = make(1, CS_DELIVERED, "p"); /* found by its ids */

    add(1, CS_DELIVERED, EVENT_PENDING, "p", 100);
    add(2, CS_DELIVERED, EVENT_PENDING, "p", 150);
    ck_assert_int_eq(read_batch(200, 10), 2);
    ck_assert(event_outbox_keep(store, &event, 200, 0, &error)); /* released */
    ck_assert_int_eq(event_outbox_tries(store, &event), 0);
    ck_assert_int_eq(read_batch(200, 10), 2);
    ck_assert(event_outbox_keep(store, &batch[0], 200, 50, &error)); /* by its row */
    ck_assert_int_eq(event_outbox_tries(store, &event), 1);
    ck_assert_int_eq(read_batch(249, 10), 1);
    ck_assert_int_eq(batch[0].attempt, 2);
    ck_assert_int_eq(read_batch(250, 10), 2);
    ck_assert_int_eq(batch[0].attempt, 1);
    ck_assert(event_outbox_keep(store, &event, 250, 50, &error));
    ck_assert(event_outbox_hasten(store, 260, &error));
    ck_assert_int_eq(read_batch(260, 10), 2);
}
END_TEST

START_TEST(a_clock_that_was_put_back_holds_nothing_up)
{
    add(1, CS_DELIVERED, EVENT_PENDING, "p", 1000000000000);
    ck_assert_int_eq(read_batch(1000, 10), 1);
    ck_assert(event_outbox_keep(store, &batch[0], 1000000000000, 5000, &error));
    ck_assert_int_eq(read_batch(1000, 10), 1);
}
END_TEST

/* Event number of message, which is another than its own. */
static void add_to_message(int number, int message)
{
    struct event event = make(number, CS_DEFERRED, "p");

    memcpy(event.message_id, make(message, CS_DEFERRED, "p").message_id, sizeof event.message_id);
    event_identify(&event, "again");
    ck_assert_msg(event_store_add(store, &event, EVENT_PENDING, 0, &error), "%s", error.text);
}

START_TEST(the_newest_do_not_wait_behind_a_backlog)
{
    for (int i = 1; i <= 1000; i++)
        add(i, CS_DELIVERED, EVENT_PENDING, "p", i);
    ck_assert_int_eq(event_outbox_read(store, "p", 500, 1000, 20, batch, &error), 20);
    for (int i = 0; i < 15; i++)
        ck_assert_int_eq(batch[i].attempt, i + 1);
    for (int i = 15; i < 20; i++)
        ck_assert_int_eq(batch[i].attempt, 981 + i);
}
END_TEST

START_TEST(where_the_ends_meet_nothing_is_read_twice)
{
    for (int pending = 1; pending <= 25; pending++) {
        add(pending, CS_DELIVERED, EVENT_PENDING, "p", pending);
        int number = read_batch(1000, 10);
        ck_assert_int_eq(number, pending < 10 ? pending : 10);
        for (int i = 1; i < number; i++)
            ck_assert_int_lt(batch[i - 1].attempt, batch[i].attempt);
    }
}
END_TEST

START_TEST(a_message_is_not_overtaken_by_its_own_newer_events)
{
    for (int i = 1; i <= 100; i++)
        add(i, CS_DELIVERED, EVENT_PENDING, "p", 0);
    add_to_message(101, 50);
    add(102, CS_DELIVERED, EVENT_PENDING, "p", 0);
    add_to_message(103, 102);
    add_to_message(104, 51);
    ck_assert_int_eq(read_batch(1000, 20), 20);
    /* of the newest 50's and 51's have to wait, and 102's second one */
    static const int expected[] = {15, 97, 98, 99, 100, 102};
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(batch[14 + i].attempt, expected[i]);
    for (int i = 0; i < 20; i++)
        ck_assert(event_store_settle(store, &batch[i], EVENT_REPORTED, &error));
    ck_assert_int_eq(read_batch(1000, 20), 20);
    ck_assert_int_eq(batch[19].attempt, 103);
}
END_TEST

struct seen {
    int count, last;
};

static bool see(void *context, const struct event *event, enum event_state state)
{
    struct seen *seen = context;

    (void)state;
    seen->count++;
    seen->last = event->attempt;
    return true;
}

static struct seen look(struct event_filter filter)
{
    struct seen seen = {0};

    ck_assert(event_store_each(store, &filter, see, &seen, &error));
    return seen;
}

START_TEST(a_message_of_many_recipients_is_read_in_its_order)
{
    struct event first = make(1, CS_DEFERRED, "p");
    int64_t number;

    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (int i = 1; i <= 3000; i++)
        add_to_message(i, 1);
    ck_assert(store_commit(store, &error));
    ck_assert_int_eq(read_batch(1000, 100), 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(batch[i].attempt, i + 1);
    ck_assert_int_eq(look((struct event_filter){.message_id = first.message_id}).count, 3000);
    ck_assert_int_eq(look((struct event_filter){.message_id = first.message_id}).last, 3000);
    ck_assert(event_store_count(store, EVENT_PENDING, &number, &error));
    ck_assert_int_eq(number, 3000);
}
END_TEST

START_TEST(what_was_put_off_holds_up_its_message_but_not_for_ever)
{
    for (int limit = 2; limit <= 20; limit += 18) { /* with a backlog and without */
        add_to_message(limit + 1, limit);
        add_to_message(limit + 2, limit);
        add(limit + 3, CS_DELIVERED, EVENT_PENDING, "p", 0);
        ck_assert_int_gt(read_batch(1000, limit), 0);
        for (int tries = 1; tries <= EVENT_OUTBOX_TRIES; tries++) {
            ck_assert(event_outbox_keep(store, &batch[0], 1000, 50, &error));
            int number = event_outbox_read(store, "p", 1000, 1000, limit, batch + 1, &error);
            ck_assert_int_eq(number, tries < EVENT_OUTBOX_TRIES ? 1 : 2);
            ck_assert_int_eq(batch[number].attempt, limit + 3);
        }
        for (int i = 0; i < 3; i++) {
            event_outbox_hasten(store, 1000, &error);
            ck_assert_int_gt(read_batch(1000, 10), 0);
            ck_assert(event_store_settle(store, &batch[0], EVENT_REPORTED, &error));
        }
    }
}
END_TEST

START_TEST(each_event_of_a_backlog_comes_once_and_in_its_messages_order)
{
    static int last[40];
    int seen = 0, number;

    memset(last, 0, sizeof last);
    for (int i = 1; i <= 400; i++)
        add_to_message(i, i * 7 % 31);
    while ((number = read_batch(1000, 16)) > 0)
        for (int i = 0; i < number; i++, seen++) {
            int message = batch[i].attempt * 7 % 31;
            ck_assert_int_lt(last[message], batch[i].attempt);
            last[message] = batch[i].attempt;
            ck_assert(event_store_settle(store, &batch[i], EVENT_REPORTED, &error));
        }
    ck_assert_int_eq(seen, 400);
}
END_TEST

START_TEST(a_row_of_another_file_with_the_same_number_is_left_alone)
{
    struct event event = make(1, CS_DELIVERED, "p");

    add(2, CS_DELIVERED, EVENT_PENDING, "p", 0);
    event.row = 1;
    ck_assert(event_store_settle(store, &event, EVENT_REPORTED, &error));
    ck_assert_int_eq(count(EVENT_PENDING), 1);
}
END_TEST

START_TEST(what_is_settled_stays_settled)
{
    struct event event = make(1, CS_DROPPED, "p");

    add(1, CS_DROPPED, EVENT_PENDING, "p", 0);
    event.dropped_as_bounced = true;
    ck_assert(event_store_settle(store, &event, EVENT_REPORTED, &error));
    ck_assert(event_store_settle(store, &event, EVENT_REJECTED, &error));
    ck_assert(event_outbox_keep(store, &event, 1, 0, &error));
    ck_assert_int_eq(count(EVENT_REPORTED), 1);
    ck_assert_int_eq(count(EVENT_REJECTED), 0);
}
END_TEST

START_TEST(tpsps_with_pending_events_are_named_in_turn)
{
    char *name = NULL;

    add(1, CS_DELIVERED, EVENT_PENDING, "b", 0);
    add(2, CS_DELIVERED, EVENT_PENDING, "", 0);
    add(3, CS_DELIVERED, EVENT_PENDING, "b", 0);
    add(4, CS_DELIVERED, EVENT_REPORTED, "c", 0);
    ck_assert_int_eq(event_outbox_next_tpsp(store, NULL, &name, &error), 1);
    ck_assert_str_eq(name, "");
    free(name);
    ck_assert_int_eq(event_outbox_next_tpsp(store, "", &name, &error), 1);
    ck_assert_str_eq(name, "b");
    free(name);
    ck_assert_int_eq(event_outbox_next_tpsp(store, "b", &name, &error), 0);
}
END_TEST

START_TEST(a_filter_shows_what_was_asked_for)
{
    struct event second = make(2, CS_DELIVERED, "p");

    for (int i = 1; i <= 9; i++)
        add(i, CS_DELIVERED, i % 3 ? EVENT_REPORTED : EVENT_PENDING, "p", 0);
    ck_assert_int_eq(look((struct event_filter){0}).count, 9);
    ck_assert_int_eq(look((struct event_filter){.by_state = true, .state = EVENT_PENDING}).count, 3);
    ck_assert_int_eq(look((struct event_filter){.since_ms = 1007}).count, 3);
    ck_assert_int_eq(look((struct event_filter){.recipient = "user4@EXAMPLE.com"}).last, 4);
    ck_assert_int_eq(look((struct event_filter){.message_id = second.message_id}).last, 2);
    ck_assert_int_eq(look((struct event_filter){.message_id = second.message_id, .since_ms = 1003}).count, 0);
}
END_TEST

struct tallied {
    uint64_t accepted, recent, dropped;
    int calls;
};

static void see_tally(void *context, const char *tpsp, enum event_cs cs, uint64_t count, uint64_t recent)
{
    struct tallied *tallied = context;

    ck_assert_str_eq(tpsp, "p");
    tallied->calls++;
    if (cs == CS_DELIVERED) {
        tallied->accepted = count;
        tallied->recent = recent;
    } else {
        tallied->dropped = count;
    }
}

START_TEST(a_tally_counts_the_deliveries_of_the_pipe_since_then)
{
    struct tallied tallied = {0};
    struct event failures[3], bounce = make(100, CS_HARD_BOUNCED, "p");

    for (int i = 1; i <= 20; i++)
        add(i, i % 4 ? CS_DELIVERED : CS_DROPPED, EVENT_REPORTED, "p", 0);
    bounce.source = EVENT_SOURCE_BOUNCE;
    ck_assert(event_store_add(store, &bounce, EVENT_REPORTED, 0, &error));
    ck_assert(event_store_tally(store, 1005, 1016, see_tally, &tallied, &error));
    ck_assert_uint_eq(tallied.accepted, 12);
    ck_assert_uint_eq(tallied.recent, 3);
    ck_assert_uint_eq(tallied.dropped, 4);
    ck_assert_int_eq(tallied.calls, 2);
    ck_assert_int_eq(event_store_failures(store, 1005, 3, failures, &error), 3);
    ck_assert_int_eq(failures[0].attempt, 20);
    ck_assert_int_eq(failures[2].attempt, 12);
    ck_assert_int_eq(event_store_failures(store, 1017, 3, failures, &error), 1);
}
END_TEST

START_TEST(a_sweep_takes_old_settled_events_and_never_pending_ones)
{
    for (int i = 1; i <= 900; i++)
        add(i, CS_DELIVERED,
            (enum event_state)(i % 3 == 0   ? EVENT_PENDING
                               : i % 3 == 1 ? EVENT_REPORTED
                                            : EVENT_REJECTED),
            "p", 0);
    int64_t from = 0;
    ck_assert_int_eq(event_store_sweep(store, 1000 + 100, &from, &error), 66);
    ck_assert_int_eq(from, 501);
    ck_assert_int_eq(event_store_sweep(store, 1000 + 100, &from, &error), 0);
    ck_assert_int_eq(from, 0);
    ck_assert_int_gt(event_store_sweep(store, 1000 + 900, &from, &error), 200);
    ck_assert_int_gt(from, 0);
    ck_assert_int_eq(count(EVENT_PENDING), 300);
}
END_TEST

START_TEST(a_sweep_gets_past_a_backlog)
{
    int64_t from = 0;
    int deleted = 0;

    for (int i = 1; i <= 2000; i++)
        add(i, CS_DELIVERED, i <= 1600 ? EVENT_PENDING : EVENT_REPORTED, "p", 0);
    do
        deleted += event_store_sweep(store, 100000, &from, &error);
    while (from > 0);
    ck_assert_int_eq(deleted, 400);
    ck_assert_int_eq(count(EVENT_PENDING), 1600);
}
END_TEST

START_TEST(pending_events_outlive_a_corrupt_file)
{
    char path[128];

    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (int i = 1; i <= 2000; i++)
        add(i, CS_DELIVERED, EVENT_PENDING, "p", 0);
    ck_assert(store_commit(store, &error));
    sqlite3_wal_checkpoint_v2(store_handle(store), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    store_close(store);
    snprintf(path, sizeof path, "%s/state.db", directory);
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, 50L * 4096, SEEK_SET); /* some of the rows, or of an index */
    for (int i = 0; i < 4096; i++)
        fputc(0x5a, file);
    fclose(file);

    /* reading and writing all of it meets the damage; the next transaction works on a file without it */
    struct event_filter all = {0};
    struct seen seen = {0};
    ck_assert(store_open(&store, directory, &error));
    int64_t number;
    bool met = !event_store_each(store, &all, see, &seen, &error) ||
               !event_store_count(store, EVENT_PENDING, &number, &error);
    for (int i = 1; i <= 2000 && !met; i++) {
        struct event event = make(i, CS_DELIVERED, "p");
        met = !event_store_settle(store, &event, EVENT_PENDING, &error);
    }
    ck_assert(met);
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    ck_assert(store_commit(store, &error));
    ck_assert_int_gt(count(EVENT_PENDING), 1950);
}
END_TEST

static bool uses_index(const char *sql, const char *index)
{
    AUTO_FREE char *explain = xasprintf("EXPLAIN QUERY PLAN %s", sql);
    sqlite3_stmt *plan = NULL;
    bool uses = false;

    ck_assert_int_eq(sqlite3_prepare_v2(store_handle(store), explain, -1, &plan, NULL), SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        ck_assert_ptr_null(strstr(detail, "SCAN events USING INDEX sqlite"));
        uses = uses || strstr(detail, index) != NULL;
        ck_assert_msg(strstr(detail, "B-TREE") == NULL, "%s: %s", sql, detail); /* no sorting */
    }
    sqlite3_finalize(plan);
    return uses;
}

START_TEST(what_is_asked_for_all_the_time_is_found_by_an_index)
{
    ck_assert(uses_index("SELECT tpsp FROM events WHERE state = 0 AND tpsp > ? ORDER BY tpsp LIMIT 1",
                         "events_pending"));
    ck_assert(
        uses_index("SELECT * FROM events WHERE state = 0 AND tpsp = ?1 AND (due_ms <= ?2 OR due_ms > ?3)"
                   " ORDER BY due_ms, id LIMIT ?4",
                   "events_pending"));
    ck_assert(uses_index("SELECT id FROM events WHERE state = 0 AND tpsp = ?1 AND due_ms <= ?2"
                         " ORDER BY due_ms DESC, id DESC LIMIT ?4",
                         "events_pending"));
    ck_assert(uses_index("SELECT count(*) FROM events WHERE state = 0", "events_pending"));
    ck_assert(uses_index("SELECT count(*) FROM events WHERE state = 2", "events_rejected"));
    ck_assert(uses_index("SELECT 1 FROM events WHERE identity = ? AND event_id = ?", "events_identity"));
    ck_assert(uses_index("SELECT * FROM events WHERE identity BETWEEN ? AND ? AND message_id = ?",
                         "events_identity"));
}
END_TEST

/* As a file of the schema before would have it. */
START_TEST(events_of_an_older_file_are_found_again)
{
    static const char *const ids[] = {"4c8f4a0e-2a9a-5a0e-9a4e-1f7a6c7f2b11",
                                      "ffffffff-ffff-4fff-bfff-ffffffffffff",
                                      "01890a5d-ac96-774b-bcce-b302099a8057"};
    enum { COUNT = sizeof ids / sizeof *ids };

    for (int i = 0; i < COUNT; i++) {
        struct event event = make(i, CS_DELIVERED, "p");
        memcpy(event.message_id, ids[i], UUID_SIZE);
        event_identify(&event, "");
        ck_assert(event_store_add(store, &event, EVENT_PENDING, 0, &error));
    }
    static const char back[] =
        "ALTER TABLE events RENAME TO now; DROP INDEX events_identity; DROP INDEX events_pending;"
        "DROP INDEX events_rejected; CREATE TABLE events (id INTEGER PRIMARY KEY, event_id TEXT NOT NULL "
        "UNIQUE,"
        " state, due_ms, leased_ms, tries, message_id, cs, dropped_as_bounced, source, timestamp_ms, "
        "recipient,"
        " sender, queue_id, smtp_code, smtp_enhanced_code, smtp_description, tpsp, tpsp_id, provider, "
        "attempt);"
        "CREATE INDEX events_message ON events (message_id); CREATE INDEX events_pending ON events (tpsp);"
        "INSERT INTO events SELECT id, event_id, state, due_ms, leased_ms, tries, message_id, cs,"
        " dropped_as_bounced, source, timestamp_ms, recipient, sender, queue_id, smtp_code, "
        "smtp_enhanced_code,"
        " smtp_description, tpsp, tpsp_id, provider, attempt FROM now; DROP TABLE now; PRAGMA user_version = "
        "3";
    ck_assert_int_eq(sqlite3_exec(store_handle(store), back, NULL, NULL, NULL), SQLITE_OK);
    store_close(store);
    ck_assert_msg(store_open(&store, directory, &error), "%s", error.text);
    for (int i = 0; i < COUNT; i++) {
        struct event event = make(i, CS_DELIVERED, "p"), found;
        enum event_state state;
        memcpy(event.message_id, ids[i], UUID_SIZE);
        event_identify(&event, "");
        ck_assert_int_eq(event_store_find_accepted(store, event.queue_id, event.message_id, event.recipient,
                                                   &found, &state, &error),
                         1);
        ck_assert(event_store_add(store, &event, EVENT_PENDING, 0, &error));
    }
    ck_assert_int_eq(count(EVENT_PENDING), COUNT);
}
END_TEST

Suite *event_store_suite(void)
{
    Suite *suite = suite_create("event_store");
    TCase *tcase = tcase_create("event_store");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_event_comes_back_as_it_was_stored);
    tcase_add_test(tcase, only_the_same_delivery_counts_as_accepted);
    tcase_add_test(tcase, a_second_event_with_the_same_id_changes_nothing);
    tcase_add_test(tcase, what_is_due_is_read_in_its_order);
    tcase_add_test(tcase, nobody_is_given_what_its_writer_is_reporting);
    tcase_add_test(tcase, an_event_that_was_put_off_keeps_its_place);
    tcase_add_test(tcase, a_message_of_many_recipients_is_read_in_its_order);
    tcase_add_test(tcase, what_was_put_off_holds_up_its_message_but_not_for_ever);
    tcase_add_test(tcase, a_clock_that_was_put_back_holds_nothing_up);
    tcase_add_test(tcase, the_newest_do_not_wait_behind_a_backlog);
    tcase_add_test(tcase, where_the_ends_meet_nothing_is_read_twice);
    tcase_add_test(tcase, a_message_is_not_overtaken_by_its_own_newer_events);
    tcase_add_test(tcase, each_event_of_a_backlog_comes_once_and_in_its_messages_order);
    tcase_add_test(tcase, a_row_of_another_file_with_the_same_number_is_left_alone);
    tcase_add_test(tcase, what_is_settled_stays_settled);
    tcase_add_test(tcase, tpsps_with_pending_events_are_named_in_turn);
    tcase_add_test(tcase, a_filter_shows_what_was_asked_for);
    tcase_add_test(tcase, a_tally_counts_the_deliveries_of_the_pipe_since_then);
    tcase_add_test(tcase, a_sweep_takes_old_settled_events_and_never_pending_ones);
    tcase_add_test(tcase, a_sweep_gets_past_a_backlog);
    tcase_add_test(tcase, pending_events_outlive_a_corrupt_file);
    tcase_add_test(tcase, what_is_asked_for_all_the_time_is_found_by_an_index);
    tcase_add_test(tcase, events_of_an_older_file_are_found_again);
    suite_add_tcase(suite, tcase);
    return suite;
}
