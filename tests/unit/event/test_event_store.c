#include "event/event_outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "event/event_index.h"
#include "stored_events.h"
#include "suites.h"

#define MINUTE_MS INT64_C(60000)

START_TEST(an_event_comes_back_as_it_was_stored)
{
    struct event stored = make(1, CS_DELIVERED, "primary"), found;
    enum event_state state;

    ck_assert(event_store_add(store, &stored, EVENT_PENDING, 0, &error));
    ck_assert_int_eq(event_store_find_final(store, "Q1", stored.message_id, "user1@example.com", "", &found,
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
        event_store_find_final(store, "Q1", one.message_id, "other@example.com", "", &found, &state, &error),
        0);
    ck_assert_int_eq(
        event_store_find_final(store, "Q2", one.message_id, "user1@example.com", "", &found, &state, &error),
        0);
    ck_assert_int_eq(
        event_store_find_final(store, "Q1", one.message_id, "user1@example.com", "", &found, &state, &error),
        1);
    /* other bytes under the same queue id, UUID and recipient are another message */
    ck_assert_int_eq(event_store_find_final(store, "Q1", one.message_id, "user1@example.com", "17-ab", &found,
                                            &state, &error),
                     0);
    ck_assert_int_eq(event_store_find_final(store, "Q2", make(2, CS_SENT, "").message_id, "user2@example.com",
                                            "", &found, &state, &error),
                     0);
}
END_TEST

START_TEST(a_drop_is_an_end_as_well)
{
    struct event found;
    enum event_state state;
    struct event dropped = make(1, CS_DROPPED, "p");

    add(1, CS_DROPPED, EVENT_REPORTED, "p", 0);
    ck_assert_int_eq(event_store_find_final(store, "Q1", dropped.message_id, "user1@example.com", "", &found,
                                            &state, &error),
                     1);
    ck_assert_int_eq(found.cs, CS_DROPPED);
    ck_assert_int_eq(event_store_find_final(store, "Q1", dropped.message_id, "user1@example.com", "17-ab",
                                            &found, &state, &error),
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

START_TEST(what_is_settled_stays_settled)
{
    struct event event = make(1, CS_DROPPED, "p");

    add(1, CS_DROPPED, EVENT_PENDING, "p", 0);
    event.other_word = true;
    ck_assert(event_outbox_settle(store, &event, EVENT_REPORTED, &error));
    ck_assert(event_outbox_settle(store, &event, EVENT_REJECTED, &error));
    ck_assert(event_outbox_keep(store, &event, 1, 0, &error));
    ck_assert_int_eq(count(EVENT_REPORTED), 1);
    ck_assert_int_eq(count(EVENT_REJECTED), 0);
}
END_TEST

struct seen {
    int count, last;
    bool in_order;
};

static bool see(void *context, const struct event *event, enum event_state state)
{
    struct seen *seen = context;

    (void)state;
    seen->count++;
    seen->in_order = seen->in_order && event->attempt > seen->last;
    seen->last = event->attempt;
    return true;
}

static struct seen look(struct event_filter filter)
{
    struct seen seen = {.in_order = true};

    ck_assert(event_store_each(store, &filter, see, &seen, &error));
    return seen;
}

START_TEST(a_message_of_many_recipients_is_shown_in_its_order)
{
    struct event event = make(1, CS_DEFERRED, "p");

    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (event.attempt = 1; event.attempt <= 3000; event.attempt++) {
        snprintf(event.recipient, sizeof event.recipient, "user%d@example.com", event.attempt);
        event_identify(&event, "");
        ck_assert(event_store_add(store, &event, EVENT_REPORTED, 0, &error));
    }
    ck_assert(store_commit(store, &error));
    struct seen seen = look((struct event_filter){.message_id = event.message_id});
    ck_assert_int_eq(seen.count, 3000);
    ck_assert_int_eq(seen.last, 3000);
    ck_assert(seen.in_order);
}
END_TEST

/* Of the numbers 1 to 9000, across blocks, with attempt as the number. */
START_TEST(the_last_ones_are_found_from_the_end_and_shown_in_their_order)
{
    ck_assert(store_begin(store, STORE_NORMAL, &error));
    for (int i = 1; i <= 9000; i++) {
        struct event event = make(i, CS_DELIVERED, "p");
        event.attempt = i;
        snprintf(event.recipient, sizeof event.recipient, "user%d@example.com", i % 100);
        event_identify(&event, "");
        ck_assert(event_store_add(store, &event, i % 4000 == 1 ? EVENT_PENDING : EVENT_REPORTED, 0, &error));
    }
    ck_assert(store_commit(store, &error));
    const struct {
        struct event_filter filter;
        size_t limit;
        int count, last;
    } cases[] = {{{.since_ms = 0}, 7, 7, 9000},
                 {{.since_ms = 0}, 8995, 8995, 9000},
                 {{.recipient = "user8@EXAMPLE.com"}, 50, 50, 8908},
                 {{.recipient = "user8@example.com"}, 1000, 90, 8908},
                 {{.by_state = true, .state = EVENT_PENDING}, 2, 2, 8001},
                 {{.by_state = true, .state = EVENT_REPORTED}, 3, 3, 9000},
                 {{.recipient = "nobody@example.com"}, 5, 0, 0}};
    for (int indexed = 0; indexed < 2; indexed++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct seen seen = {.in_order = true};
            ck_assert(event_store_last(store, &cases[i].filter, cases[i].limit, see, &seen, &error));
            ck_assert_int_eq(seen.count, cases[i].count);
            ck_assert_int_eq(seen.last, cases[i].last);
            ck_assert(seen.in_order);
        }
        ck_assert(event_index_catch_up(store, INT64_MAX, &error));
    }
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
    uint64_t accepted, recent, dropped, bounced;
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
        *(cs == CS_DROPPED ? &tallied->dropped : &tallied->bounced) = count;
    }
}

START_TEST(a_tally_counts_what_became_of_messages_since_then)
{
    struct tallied tallied = {0};
    struct event failures[3], bounce = make(100, CS_HARD_BOUNCED, "p");

    for (int i = 1; i <= 20; i++) {
        struct event event = make(i, i % 4 ? CS_DELIVERED : CS_DROPPED, "p");
        event.timestamp_ms = i * MINUTE_MS + 59999;
        ck_assert(event_store_add(store, &event, EVENT_REPORTED, 0, &error));
        ck_assert(event_store_add(store, &event, EVENT_REPORTED, 0, &error)); /* is not counted twice */
    }
    bounce.source = EVENT_SOURCE_BOUNCE;
    bounce.timestamp_ms = 6 * MINUTE_MS;
    ck_assert(event_store_add(store, &bounce, EVENT_REPORTED, 0, &error));
    ck_assert(event_store_tally(store, 5 * MINUTE_MS, 16 * MINUTE_MS, see_tally, &tallied, &error));
    ck_assert_uint_eq(tallied.accepted, 12);
    ck_assert_uint_eq(tallied.recent, 3);
    ck_assert_uint_eq(tallied.dropped, 4);
    ck_assert_uint_eq(tallied.bounced, 1);
    ck_assert_int_eq(tallied.calls, 3);
    ck_assert_int_eq(event_store_failures(store, 5 * MINUTE_MS, 3, failures, &error), 3);
    ck_assert_int_eq(failures[0].attempt, 20);
    ck_assert_int_eq(failures[2].attempt, 12);
    ck_assert_int_eq(event_store_failures(store, 17 * MINUTE_MS, 3, failures, &error), 1);
    ck_assert(event_store_forget(store, 17 * MINUTE_MS, &error));
    ck_assert(event_store_tally(store, 0, 0, see_tally, &tallied, &error));
    ck_assert_uint_eq(tallied.accepted, 3);
}
END_TEST

static uint64_t used(const char *provider, int64_t since_ms)
{
    uint64_t count;

    ck_assert(event_store_used(store, "p", provider, since_ms, &count, &error));
    return count;
}

START_TEST(a_slot_is_used_by_whom_the_tpsp_has_heard)
{
    static const struct {
        enum event_cs cs;
        enum event_source source;
        int smtp_code;
        const char *tpsp, *provider;
    } deliveries[] = {
        {CS_DELIVERED, EVENT_SOURCE_PIPE, 250, "p", "gmail"},
        {CS_SENT, EVENT_SOURCE_PIPE, 0, "p", "yahoo"},
        {CS_DEFERRED, EVENT_SOURCE_PIPE, 451, "p", "gmail"},
        {CS_DROPPED, EVENT_SOURCE_PIPE, 550, "p", "gmail"},
        {CS_DEFERRED, EVENT_SOURCE_PIPE, 0, "p", "gmail"}, /* not reached */
        {CS_DROPPED, EVENT_SOURCE_PIPE, 0, "", ""},        /* suppressed */
        {CS_DELIVERED, EVENT_SOURCE_AGENT, 250, "", ""},
        {CS_DELIVERED, EVENT_SOURCE_PIPE, 250, "other", "gmail"},
    };

    for (int i = 0; i < (int)(sizeof deliveries / sizeof *deliveries); i++) {
        struct event event = make(i, deliveries[i].cs, deliveries[i].tpsp);
        event.source = deliveries[i].source;
        event.smtp_code = deliveries[i].smtp_code;
        event.timestamp_ms = (10 + i) * MINUTE_MS;
        snprintf(event.provider, sizeof event.provider, "%s", deliveries[i].provider);
        ck_assert(event_store_add(store, &event, EVENT_REPORTED, 0, &error));
    }
    ck_assert_uint_eq(used(NULL, 0), 4);
    ck_assert_uint_eq(used("gmail", 0), 3);
    ck_assert_uint_eq(used("gmail", 12 * MINUTE_MS), 1);
    ck_assert_uint_eq(used("aol", 0), 0);
}
END_TEST

/* Enough for several blocks, and a gap between them. */
static void add_blocks(void)
{
    static const char many[] =
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO events (id, identity, state, event_id, message_id, cs, source, timestamp_ms, recipient)"
        " SELECT i + 10000 * (i > 9000), i, 1, 'e' || i, 'm', 60, 1, i * 1000, 'User' || (i % 7000) || "
        "'@example.com' FROM n";

    ck_assert_int_eq(sqlite3_exec(store_handle(store), many, NULL, NULL, NULL), SQLITE_OK);
}

START_TEST(a_recipient_and_a_time_are_found_in_every_block)
{
    add_blocks();
    if (_i == 1)
        ck_assert(event_index_catch_up(store, INT64_MAX, &error));
    ck_assert_int_eq(look((struct event_filter){.recipient = "User77@EXAMPLE.com"}).count, 3);
    ck_assert_int_eq(
        look((struct event_filter){.recipient = "User77@example.com", .since_ms = 14000000}).count, 1);
    ck_assert_int_eq(look((struct event_filter){.since_ms = 19991000}).count, 10);
    ck_assert_int_eq(look((struct event_filter){0}).count, 20000);
    ck_assert_int_eq(
        sqlite3_exec(store_handle(store), "DELETE FROM events WHERE id < 30000", NULL, NULL, NULL),
        SQLITE_OK);
    ck_assert(event_store_forget(store, 0, &error));
    ck_assert_int_eq(look((struct event_filter){0}).count, 1);
    add(1, CS_DELIVERED, EVENT_REPORTED, "p", 0);
    ck_assert_int_eq(look((struct event_filter){.recipient = "user1@example.com"}).count, 1);
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
    ck_assert_int_eq(event_store_sweep(store, 1000 + 20, 1000 + 20, &from, &error), 13);
    ck_assert_int_eq(from, 1 + EVENT_SWEEP_ROWS);
    ck_assert_int_eq(event_store_sweep(store, 1000 + 20, 1000 + 20, &from, &error), 0);
    ck_assert_int_eq(from, 0);
    ck_assert_int_gt(event_store_sweep(store, 1000 + 900, 1000 + 900, &from, &error), EVENT_SWEEP_ROWS / 2);
    ck_assert_int_gt(from, 0);
    ck_assert_int_eq(count(EVENT_PENDING), 300);
}
END_TEST

START_TEST(a_sweep_spares_what_proves_how_a_message_ended)
{
    static const enum event_cs kinds[] = {CS_DELIVERED, CS_SENT, CS_DROPPED, CS_DEFERRED};
    int64_t from = 0;

    for (int i = 0; i < 4; i++)
        add(i, kinds[i], i == 0 ? EVENT_REJECTED : i == 1 ? EVENT_LOCAL : EVENT_REPORTED, "p", 0);
    struct event nobodys = make(4, CS_DELIVERED, "p"), logged = make(5, CS_DELIVERED, "p");
    nobodys.queue_id[0] = '\0';
    logged.source = EVENT_SOURCE_AGENT;
    event_identify(&logged, "log");
    event_identify(&nobodys, "none");
    ck_assert(event_store_add(store, &nobodys, EVENT_REPORTED, 0, &error));
    ck_assert(event_store_add(store, &logged, EVENT_REPORTED, 0, &error));
    ck_assert_int_eq(event_store_sweep(store, 2000, 1000, &from, &error), 3);
    for (from = 0; event_store_sweep(store, 2000, 1000, &from, &error) > 0;)
        ;
    ck_assert_int_eq(count(EVENT_REPORTED) + count(EVENT_REJECTED) + count(EVENT_LOCAL), 3);
    from = 0;
    ck_assert_int_eq(event_store_sweep(store, 2000, 2000, &from, &error), 3); /* 5 days later */
}
END_TEST

START_TEST(a_sweep_gets_past_a_backlog)
{
    int64_t from = 0;
    int deleted = 0;

    for (int i = 1; i <= 2000; i++)
        add(i, CS_DELIVERED, i <= 1600 ? EVENT_PENDING : EVENT_REPORTED, "p", 0);
    do
        deleted += event_store_sweep(store, 100000, 100000, &from, &error);
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
    snprintf(path, sizeof path, "%s/state.db", temporary_directory);
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, 50L * 4096, SEEK_SET); /* some of the rows, or of an index */
    for (int i = 0; i < 4096; i++)
        fputc(0x5a, file);
    fclose(file);

    /* reading and writing all of it meets the damage; the next transaction works on a file without it */
    struct event_filter all = {0};
    struct seen seen = {0};
    ck_assert(store_open(&store, temporary_directory, &error));
    int64_t number;
    bool met = !event_store_each(store, &all, see, &seen, &error) ||
               !event_store_count(store, EVENT_PENDING, &number, &error);
    for (int i = 1; i <= 2000 && !met; i++) {
        struct event event = make(i, CS_DELIVERED, "p");
        met = !event_outbox_settle(store, &event, EVENT_PENDING, &error);
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

/* An index of a state that most events are not in may be read as a whole. */
static void assert_searched(const char *sql)
{
    AUTO_FREE char *explain = xasprintf("EXPLAIN QUERY PLAN %s", sql);
    sqlite3_stmt *plan = NULL;

    ck_assert_int_eq(sqlite3_prepare_v2(store_handle(store), explain, -1, &plan, NULL), SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        ck_assert_msg(strncmp(detail, "SCAN events", 11) != 0 ||
                          strstr(detail, "INDEX events_pending") != NULL ||
                          strstr(detail, "INDEX events_rejected") != NULL ||
                          strstr(detail, "INDEX events_local") != NULL,
                      "%s: %s", sql, detail);
    }
    sqlite3_finalize(plan);
}

START_TEST(no_listing_reads_all_events)
{
    struct tallied tallied = {0};
    struct event failures[3];
    sqlite3_stmt *statement = NULL;
    int statements = 0;

    for (int i = 0; i < EVENT_STATE_COUNT; i++)
        if (i != EVENT_REPORTED) /* nearly all */
            look((struct event_filter){.by_state = true, .state = (enum event_state)i});
    look((struct event_filter){.recipient = "user4@example.com", .since_ms = 1});
    look((struct event_filter){.message_id = "00000000-0000-5000-8000-000000000001"});
    look((struct event_filter){.since_ms = 1000});
    add(1, CS_DROPPED, EVENT_PENDING, "p", 0);
    look((struct event_filter){.recipient = "user4@example.com"});
    look((struct event_filter){.since_ms = 1000});
    ck_assert(event_store_tally(store, 0, 0, see_tally, &tallied, &error));
    ck_assert_uint_eq(used("gmail", 1), 0);
    ck_assert_int_eq(event_store_failures(store, 0, 3, failures, &error), 1);
    ck_assert_int_eq(count(EVENT_PENDING) + count(EVENT_REJECTED), 1);
    while ((statement = sqlite3_next_stmt(store_handle(store), statement)) != NULL) {
        assert_searched(sqlite3_sql(statement));
        statements++;
    }
    ck_assert_int_gt(statements, 10);
}
END_TEST

UNIT_SUITE(event_store_suite)
{
    Suite *suite = suite_create("event_store");
    TCase *tcase = tcase_create("event_store");

    tcase_add_checked_fixture(tcase, temporary_store_open, temporary_store_close);
    tcase_add_test(tcase, an_event_comes_back_as_it_was_stored);
    tcase_add_test(tcase, only_the_same_delivery_counts_as_accepted);
    tcase_add_test(tcase, a_drop_is_an_end_as_well);
    tcase_add_test(tcase, a_second_event_with_the_same_id_changes_nothing);
    tcase_add_test(tcase, what_is_settled_stays_settled);
    tcase_add_test(tcase, a_message_of_many_recipients_is_shown_in_its_order);
    tcase_add_test(tcase, the_last_ones_are_found_from_the_end_and_shown_in_their_order);
    tcase_add_test(tcase, a_filter_shows_what_was_asked_for);
    tcase_add_test(tcase, a_tally_counts_what_became_of_messages_since_then);
    tcase_add_test(tcase, a_slot_is_used_by_whom_the_tpsp_has_heard);
    tcase_add_loop_test(tcase, a_recipient_and_a_time_are_found_in_every_block, 0, 2);
    tcase_add_test(tcase, no_listing_reads_all_events);
    tcase_add_test(tcase, a_sweep_takes_old_settled_events_and_never_pending_ones);
    tcase_add_test(tcase, a_sweep_spares_what_proves_how_a_message_ended);
    tcase_add_test(tcase, a_sweep_gets_past_a_backlog);
    tcase_add_test(tcase, pending_events_outlive_a_corrupt_file);
    tcase_add_test(tcase, what_is_asked_for_all_the_time_is_found_by_an_index);
    suite_add_tcase(suite, tcase);
    return suite;
}
