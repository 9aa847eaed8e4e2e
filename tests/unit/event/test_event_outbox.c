#include "event/event_outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stored_events.h"
#include "suites.h"

static struct event batch[1000];

/* How many there are in the batch; which they are is then in batch. */
static int read_batch(int64_t now_ms, int limit)
{
    int number = event_outbox_read(store, "p", now_ms, now_ms, limit, batch, NULL, &error);

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
    ck_assert_int_eq(event_outbox_read(store, "other", 9000, 9000, 10, batch, NULL, &error), 0);
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
    ck_assert_int_eq(event_outbox_read(store, "p", 500, 1000, 20, batch, NULL, &error), 20);
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
        ck_assert(event_outbox_settle(store, &batch[i], EVENT_REPORTED, &error));
    ck_assert_int_eq(read_batch(1000, 20), 20);
    ck_assert_int_eq(batch[19].attempt, 103);
}
END_TEST

START_TEST(a_message_of_many_recipients_is_read_in_its_order)
{
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (int i = 1; i <= 3000; i++)
        add_to_message(i, 1);
    ck_assert(store_commit(store, &error));
    ck_assert_int_eq(read_batch(1000, 100), 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(batch[i].attempt, i + 1);
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
            int number = event_outbox_read(store, "p", 1000, 1000, limit, batch + 1, NULL, &error);
            ck_assert_int_eq(number, tries < EVENT_OUTBOX_TRIES ? 1 : 2);
            ck_assert_int_eq(batch[number].attempt, limit + 3);
        }
        for (int i = 0; i < 3; i++) {
            event_outbox_hasten(store, 1000, &error);
            ck_assert_int_gt(read_batch(1000, 10), 0);
            ck_assert(event_outbox_settle(store, &batch[0], EVENT_REPORTED, &error));
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
            ck_assert(event_outbox_settle(store, &batch[i], EVENT_REPORTED, &error));
        }
    ck_assert_int_eq(seen, 400);
}
END_TEST

START_TEST(a_row_of_another_file_with_the_same_number_is_left_alone)
{
    struct event event = make(1, CS_DELIVERED, "p");

    add(2, CS_DELIVERED, EVENT_PENDING, "p", 0);
    event.row = 1;
    ck_assert(event_outbox_settle(store, &event, EVENT_REPORTED, &error));
    ck_assert_int_eq(count(EVENT_PENDING), 1);
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

UNIT_SUITE(event_outbox_suite)
{
    Suite *suite = suite_create("event_outbox");
    TCase *tcase = tcase_create("event_outbox");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, what_is_due_is_read_in_its_order);
    tcase_add_test(tcase, nobody_is_given_what_its_writer_is_reporting);
    tcase_add_test(tcase, an_event_that_was_put_off_keeps_its_place);
    tcase_add_test(tcase, a_clock_that_was_put_back_holds_nothing_up);
    tcase_add_test(tcase, the_newest_do_not_wait_behind_a_backlog);
    tcase_add_test(tcase, where_the_ends_meet_nothing_is_read_twice);
    tcase_add_test(tcase, a_message_is_not_overtaken_by_its_own_newer_events);
    tcase_add_test(tcase, a_message_of_many_recipients_is_read_in_its_order);
    tcase_add_test(tcase, what_was_put_off_holds_up_its_message_but_not_for_ever);
    tcase_add_test(tcase, each_event_of_a_backlog_comes_once_and_in_its_messages_order);
    tcase_add_test(tcase, a_row_of_another_file_with_the_same_number_is_left_alone);
    tcase_add_test(tcase, tpsps_with_pending_events_are_named_in_turn);
    suite_add_tcase(suite, tcase);
    return suite;
}
