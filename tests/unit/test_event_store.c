#include "event/event_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

START_TEST(nobody_is_given_what_another_is_reporting)
{
    struct event events[10];

    for (int i = 1; i <= 5; i++)
        add(i, CS_DELIVERED, EVENT_PENDING, "p", 100);
    ck_assert_int_eq(event_store_lease(store, "p", 99, 500, 10, events, &error), 0);
    ck_assert_int_eq(event_store_lease(store, "p", 100, 500, 3, events, &error), 3);
    ck_assert_int_eq(events[0].attempt, 1);
    ck_assert_int_eq(events[2].attempt, 3);
    ck_assert_int_eq(event_store_lease(store, "p", 100, 500, 10, events, &error), 2);
    ck_assert_int_eq(events[0].attempt, 4);
    ck_assert_int_eq(event_store_lease(store, "p", 499, 900, 10, events, &error), 0);
    ck_assert(event_store_make_due(store, 499, &error));
    ck_assert_int_eq(event_store_lease(store, "p", 499, 900, 10, events, &error), 0);
    ck_assert_int_eq(event_store_lease(store, "p", 500, 900, 10, events, &error), 5);
    ck_assert_int_eq(event_store_lease(store, "other", 9000, 9900, 10, events, &error), 0);
}
END_TEST

START_TEST(a_kept_event_is_due_again_and_counts_its_tries)
{
    struct event events[10], event = make(1, CS_DELIVERED, "p");

    add(1, CS_DELIVERED, EVENT_PENDING, "p", 100);
    ck_assert_int_eq(event_store_lease(store, "p", 100, 500, 10, events, &error), 1);
    ck_assert(event_store_keep(store, event.event_id, 0, &error)); /* released */
    ck_assert_int_eq(event_store_tries(store, event.event_id), 0);
    ck_assert_int_eq(event_store_lease(store, "p", 100, 500, 10, events, &error), 1);
    ck_assert(event_store_keep(store, event.event_id, 300, &error));
    ck_assert_int_eq(event_store_tries(store, event.event_id), 1);
    ck_assert_int_eq(event_store_lease(store, "p", 299, 500, 10, events, &error), 0);
    ck_assert(event_store_make_due(store, 200, &error));
    ck_assert_int_eq(event_store_lease(store, "p", 299, 500, 10, events, &error), 1);
}
END_TEST

START_TEST(a_clock_that_was_put_back_holds_nothing_up)
{
    struct event events[10];

    add(1, CS_DELIVERED, EVENT_PENDING, "p", 1000000000000);
    ck_assert_int_eq(event_store_lease(store, "p", 1000, 500, 10, events, &error), 1);
}
END_TEST

START_TEST(what_is_settled_stays_settled)
{
    struct event event = make(1, CS_DROPPED, "p");

    add(1, CS_DROPPED, EVENT_PENDING, "p", 0);
    event.dropped_as_bounced = true;
    ck_assert(event_store_settle(store, &event, EVENT_REPORTED, &error));
    ck_assert(event_store_settle(store, &event, EVENT_REJECTED, &error));
    ck_assert(event_store_keep(store, event.event_id, 0, &error));
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
    ck_assert_int_eq(event_store_next_tpsp(store, NULL, &name, &error), 1);
    ck_assert_str_eq(name, "");
    free(name);
    ck_assert_int_eq(event_store_next_tpsp(store, "", &name, &error), 1);
    ck_assert_str_eq(name, "b");
    free(name);
    ck_assert_int_eq(event_store_next_tpsp(store, "b", &name, &error), 0);
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

START_TEST(a_sweep_takes_old_settled_events_and_never_pending_ones)
{
    for (int i = 1; i <= 900; i++)
        add(i, CS_DELIVERED,
            (enum event_state)(i % 3 == 0   ? EVENT_PENDING
                               : i % 3 == 1 ? EVENT_REPORTED
                                            : EVENT_REJECTED),
            "p", 0);
    ck_assert_int_eq(event_store_sweep(store, 1000 + 100, &error), 66);
    ck_assert_int_eq(event_store_sweep(store, 1000 + 100, &error), 0);
    ck_assert_int_gt(event_store_sweep(store, 1000 + 900, &error), 200);
    ck_assert_int_gt(event_store_sweep(store, 1000 + 900, &error), 50);
    ck_assert_int_eq(count(EVENT_PENDING), 300);
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
    fseek(file, 100L * 4096, SEEK_SET); /* some of the rows, or of an index */
    for (int i = 0; i < 4096; i++)
        fputc(0x5a, file);
    fclose(file);

    /* reading and writing all of it meets the damage; the next transaction works on a file without it */
    struct event_filter all = {0};
    struct seen seen = {0};
    ck_assert(store_open(&store, directory, &error));
    bool met = !event_store_each(store, &all, see, &seen, &error) || !event_store_make_due(store, -1, &error);
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

START_TEST(the_outbox_is_found_by_its_index)
{
    static const char *const queries[] = {
        "EXPLAIN QUERY PLAN SELECT tpsp FROM events WHERE state = 0 AND tpsp > ? ORDER BY tpsp LIMIT 1",
        "EXPLAIN QUERY PLAN SELECT * FROM events WHERE state = 0 AND tpsp = ?1 AND (due_ms <= ?2 OR due_ms > "
        "?3)"
        " AND (leased_ms <= ?2 OR leased_ms > ?3) ORDER BY due_ms, id LIMIT ?4",
        "EXPLAIN QUERY PLAN SELECT count(*) FROM events WHERE state = 0",
    };

    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        sqlite3_stmt *plan = store_statement(store, queries[i], &error);
        ck_assert_ptr_nonnull(plan);
        ck_assert_int_eq(store_step(store, plan, &error), 1);
        ck_assert_ptr_nonnull(strstr((const char *)sqlite3_column_text(plan, 3), "events_pending"));
        ck_assert_int_eq(store_step(store, plan, &error), 0); /* no sorting, no second step */
    }
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
    tcase_add_test(tcase, nobody_is_given_what_another_is_reporting);
    tcase_add_test(tcase, a_kept_event_is_due_again_and_counts_its_tries);
    tcase_add_test(tcase, a_clock_that_was_put_back_holds_nothing_up);
    tcase_add_test(tcase, what_is_settled_stays_settled);
    tcase_add_test(tcase, tpsps_with_pending_events_are_named_in_turn);
    tcase_add_test(tcase, a_filter_shows_what_was_asked_for);
    tcase_add_test(tcase, a_sweep_takes_old_settled_events_and_never_pending_ones);
    tcase_add_test(tcase, pending_events_outlive_a_corrupt_file);
    tcase_add_test(tcase, the_outbox_is_found_by_its_index);
    suite_add_tcase(suite, tcase);
    return suite;
}
