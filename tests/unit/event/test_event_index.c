#include "event/event_index.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "stored_events.h"
#include "suites.h"

#define EVENTS 5000 /* more than one block */

static char found[64][UUID_SIZE];
static size_t found_count, found_limit;

static bool see(void *context, const struct event *event, enum event_state state,
                const struct event_mail *mail)
{
    (void)context;
    (void)state;
    (void)mail;
    memcpy(found[found_count++], event->message_id, UUID_SIZE);
    return found_count < found_limit;
}

static size_t look(enum event_word word, const char *text)
{
    bool complete;

    found_count = 0;
    found_limit = sizeof found / sizeof found[0];
    ck_assert_msg(
        event_index_each(store, word, text, clock_monotonic_ms() + 60000, see, NULL, &complete, &error), "%s",
        error.text);
    ck_assert(complete);
    return found_count;
}

static void add_many(int from, int to)
{
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (int i = from; i < to; i++) {
        struct event event = make(i, CS_DELIVERED, "p");
        struct event_mail mail = {"", "hello"};
        snprintf(mail.message_id, sizeof mail.message_id, "<%d.x@example.org>", i);
        if (i % 1000 == 7)
            snprintf(event.recipient, sizeof event.recipient, "Seven%d@Sevens.example", i);
        ck_assert_msg(event_store_add_of(store, &event, &mail, EVENT_LOCAL, 0, &error), "%s", error.text);
    }
    ck_assert(store_commit(store, &error));
}

static void catch_up(void)
{
    ck_assert_msg(event_index_catch_up(store, clock_monotonic_ms() + 60000, &error), "%s", error.text);
}

static void all_words_are_found(void)
{
    ck_assert_uint_eq(look(EVENT_WORD_QUEUE_ID, "Q4321"), 1);
    ck_assert_str_eq(found[0], make(4321, CS_DELIVERED, "p").message_id);
    ck_assert_uint_eq(look(EVENT_WORD_QUEUE_ID, "Q5001"), 0);
    ck_assert_uint_eq(look(EVENT_WORD_RECIPIENT, "USER17@example.com"), 1);
    ck_assert_uint_eq(look(EVENT_WORD_HEADER_MESSAGE_ID, "<4099.x@example.org>"), 1);
    ck_assert_uint_eq(look(EVENT_WORD_HEADER_MESSAGE_ID, "4099.x@example.org"), 1);
    ck_assert_uint_eq(look(EVENT_WORD_DOMAIN, "sevens.example"), 5);
    ck_assert_str_eq(found[0], make(4007, CS_DELIVERED, "p").message_id); /* the latest first */
    ck_assert_str_eq(found[4], make(7, CS_DELIVERED, "p").message_id);
    ck_assert_uint_eq(look(EVENT_WORD_UUID, make(99, CS_DELIVERED, "p").message_id), 1);
}

START_TEST(words_are_found_with_and_without_an_index)
{
    add_many(0, EVENTS);
    all_words_are_found();
    catch_up();
    all_words_are_found();
    add_many(EVENTS, EVENTS + 10); /* behind the index */
    ck_assert_uint_eq(look(EVENT_WORD_QUEUE_ID, "Q5001"), 1);
    catch_up();
    catch_up();
    ck_assert_uint_eq(look(EVENT_WORD_QUEUE_ID, "Q5001"), 1);
    ck_assert_uint_eq(look(EVENT_WORD_RECIPIENT, "user17@example.com"), 1);
}
END_TEST

START_TEST(who_has_seen_enough_is_left_alone)
{
    struct event event = make(1, CS_DELIVERED, "p");

    add_many(0, 100);
    found_count = 0;
    found_limit = 3;
    ck_assert(event_index_each(store, EVENT_WORD_UUID, "00000000", clock_monotonic_ms() + 60000, see, NULL,
                               NULL, &error));
    ck_assert_uint_eq(found_count, 3);
    ck_assert_str_ne(found[0], event.message_id);
}
END_TEST

START_TEST(events_that_are_gone_leave_the_index)
{
    sqlite3_stmt *count;

    add_many(0, EVENTS);
    catch_up();
    ck_assert_int_eq(sqlite3_exec(store_handle(store), "DELETE FROM events", NULL, NULL, NULL), SQLITE_OK);
    add_many(0, 3); /* row ids begin anew */
    catch_up();
    ck_assert_uint_eq(look(EVENT_WORD_QUEUE_ID, "Q2"), 1);
    ck_assert_uint_eq(look(EVENT_WORD_QUEUE_ID, "Q4000"), 0);
    ck_assert_int_eq(sqlite3_exec(store_handle(store), "UPDATE events SET id = id + 8192", NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert(event_index_sweep(store, INT64_MAX, &error));
    count = store_statement(store, "SELECT count(*) FROM event_words", &error);
    ck_assert_int_eq(store_step(store, count, &error), 1);
    ck_assert_int_eq(sqlite3_column_int(count, 0), 0);
    sqlite3_reset(count);
}
END_TEST

UNIT_SUITE(event_index_suite)
{
    Suite *suite = suite_create("event_index");
    TCase *tests = tcase_create("event_index");

    tcase_add_checked_fixture(tests, temporary_store_open, temporary_store_close);
    tcase_add_test(tests, words_are_found_with_and_without_an_index);
    tcase_add_test(tests, who_has_seen_enough_is_left_alone);
    tcase_add_test(tests, events_that_are_gone_leave_the_index);
    suite_add_tcase(suite, tests);
    return suite;
}
