#include "delivery/mark.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "delivery/claim.h"
#include "stored_events.h"
#include "suites.h"

#define PLACES 512

static struct mark_table *table;

static void set_up(void)
{
    temporary_store_open();
    table = mark_table_open(temporary_directory, &error);
    ck_assert_msg(table != NULL, "%s", error.text);
}

static void tear_down(void)
{
    mark_table_close(table);
    temporary_store_close();
}

/* Another process, or the next one. */
static void reopen(void)
{
    mark_table_close(table);
    table = mark_table_open(temporary_directory, &error);
    ck_assert_msg(table != NULL, "%s", error.text);
}

static enum mark_state state_of(int64_t key)
{
    enum mark_state state;

    mark_find(table, key, &state);
    return state;
}

START_TEST(a_mark_outlives_its_process)
{
    struct event event = make(1, CS_DELIVERED, "primary"), found;
    int place = mark_begin(table, 7, 1, &error);

    ck_assert_int_eq(state_of(7), MARK_BEGUN);
    ck_assert(mark_set(table, place, MARK_DOT));
    reopen();
    ck_assert_int_eq(state_of(7), MARK_DOT);
    ck_assert(!mark_event(table, place, &found));
    mark_accept(table, place, &event);
    reopen();
    ck_assert_int_eq(state_of(7), MARK_ACCEPTED);
    ck_assert(mark_event(table, place, &found));
    ck_assert_str_eq(found.event_id, event.event_id);
    ck_assert_str_eq(found.smtp_description, event.smtp_description);
    mark_end(table, place);
    ck_assert_int_eq(state_of(7), MARK_NONE);
}
END_TEST

static bool keep_none(void *context, int64_t key, const struct event *event)
{
    (void)key;
    (void)event;
    (*(int *)context)++;
    return false;
}

/* In the first place whose event it is. */
static off_t event_at(int file, const struct event *event)
{
    unsigned char bytes[sizeof *event];
    off_t at = 0;

    while (pread(file, bytes, sizeof bytes, at) == (ssize_t)sizeof bytes &&
           memcmp(bytes, event, sizeof bytes) != 0)
        at += 8;
    return at;
}

/* A word of it anywhere, as a page that never reached the disk leaves it. */
START_TEST(what_is_half_is_not_believed)
{
    struct event event = make(1, CS_DELIVERED, "primary"), found;
    const size_t words[] = {0, sizeof event / 2 / 8 * 8, sizeof event - 8};
    int place = mark_begin(table, 7, 1, &error);
    char path[300];
    uint64_t before, half;

    mark_accept(table, place, &event);
    snprintf(path, sizeof path, "%s/marks", temporary_directory);
    int file = open(path, O_RDWR | O_CLOEXEC);
    off_t start = event_at(file, &event);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        off_t at = start + (off_t)words[i];
        ck_assert_int_eq(pread(file, &before, sizeof before, at), (ssize_t)sizeof before);
        half = before ^ UINT64_C(0x8000000000000000);
        ck_assert_int_eq(pwrite(file, &half, sizeof half, at), (ssize_t)sizeof half);
        ck_assert(!mark_event(table, place, &found));
        ck_assert_int_eq(pwrite(file, &before, sizeof before, at), (ssize_t)sizeof before);
        ck_assert(mark_event(table, place, &found));
    }
    close(file);
}
END_TEST

static void set_key(int place, int64_t key)
{
    char path[300];

    snprintf(path, sizeof path, "%s/marks", temporary_directory);
    int file = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pwrite(file, &key, sizeof key, 4096 + place * (off_t)sizeof key), sizeof key);
    close(file);
}

/* The keys are a page of their own, which may reach the disk before the page of the place. */
START_TEST(an_event_under_the_key_of_another_is_not_believed)
{
    struct event event = make(1, CS_DELIVERED, "primary"), found;
    int place = mark_begin(table, 7, 1, &error), seen = 0;

    mark_accept(table, place, &event);
    ck_assert_int_eq(mark_count_accepted(table), 1);
    set_key(place, 8);
    ck_assert_int_eq(state_of(8), MARK_DOT);
    ck_assert(!mark_event(table, place, &found));
    mark_each_left(table, keep_none, &seen);
    ck_assert_int_eq(seen, 0);
    ck_assert_int_eq(mark_count_accepted(table), 0);
    ck_assert_int_eq(mark_begin(table, 8, 2, &error), place);
    ck_assert_int_eq(state_of(8), MARK_BEGUN);
}
END_TEST

/* All places but one, so that nothing is free any more. */
static void fill(int64_t first)
{
    struct event event = make(1, CS_DELIVERED, "primary");

    for (int64_t key = first; key < first + PLACES - 1; key++)
        mark_accept(table, mark_begin(table, key, key, &error), &event);
}

/* As it is between the steps of taking it and of giving it back: with its key or without. */
static const int64_t half_taken[] = {7, 0};

static int take_half(int64_t key)
{
    int place = mark_begin(table, 7, 1, &error);

    mark_set(table, place, MARK_NONE);
    set_key(place, key);
    return place;
}

START_TEST(a_place_that_is_being_taken_or_given_back_is_left_alone)
{
    int claim = claim_take(temporary_directory, 1, &error);

    take_half(half_taken[_i]);
    fill(1000);
    ck_assert_int_eq(mark_begin(table, 2000000, 2, &error), -1);
    close(claim);
}
END_TEST

START_TEST(a_kill_while_a_place_is_taken_or_given_back_does_not_cost_it)
{
    int place = take_half(half_taken[_i]);

    fill(1000);
    ck_assert_int_eq(mark_begin(table, 2000000, 2, &error), place);
    ck_assert_int_eq(state_of(2000000), MARK_BEGUN);
    ck_assert_int_eq(state_of(7), MARK_NONE);
}
END_TEST

/* The page of the place is of before it was taken, that of the keys of after. */
START_TEST(a_key_that_a_power_cut_left_alone_does_not_cost_a_place)
{
    int place = mark_begin(table, 7, 1, &error);

    mark_end(table, place);
    set_key(place, 7);
    fill(1000);
    ck_assert_int_eq(mark_begin(table, 2000000, 2, &error), place);
}
END_TEST

/* Changes a word of the place that holds this event, counted from the event. */
static void overwrite(const struct event *event, off_t from_event, uint64_t word)
{
    char path[300];

    snprintf(path, sizeof path, "%s/marks", temporary_directory);
    int file = open(path, O_RDWR | O_CLOEXEC);
    off_t at = event_at(file, event) + from_event;
    ck_assert_int_eq(pwrite(file, &word, sizeof word, at), sizeof word);
    close(file);
}

START_TEST(what_a_power_cut_tore_gives_its_place_up_after_the_boot)
{
    struct event event = make(7, CS_DELIVERED, "primary");
    int place = mark_begin(table, 7, 1, &error);

    mark_accept(table, place, &event);
    fill(1000);
    overwrite(&event, -(off_t)sizeof(uint64_t), 1); /* its check sum stands before it */
    ck_assert_int_eq(state_of(7), MARK_DOT);
    ck_assert_int_eq(mark_begin(table, 2000000, 2, &error), -1); /* of this boot: in doubt */
    overwrite(&event, -3 * (off_t)sizeof(uint64_t), 1);          /* the boot */
    ck_assert_int_eq(state_of(7), MARK_DOT);
    ck_assert_int_eq(mark_begin(table, 2000000, 2, &error), place);
}
END_TEST

START_TEST(a_file_full_of_what_is_under_way_says_so)
{
    int claims[PLACES];

    for (int64_t key = 1; key <= PLACES; key++) {
        mark_begin(table, key, key, &error);
        claims[key - 1] = claim_take(temporary_directory, key, &error);
    }
    ck_assert_int_eq(mark_begin(table, PLACES + 1, PLACES + 1, &error), -1);
    ck_assert_ptr_nonnull(strstr(error.text, "maxproc"));
    for (int i = 0; i < PLACES; i++)
        close(claims[i]);
}
END_TEST

START_TEST(one_key_has_one_place)
{
    int place = mark_begin(table, 7, 1, &error);

    mark_set(table, place, MARK_DOT);
    reopen();
    ck_assert_int_eq(mark_begin(table, 7, 1, &error), place);
    ck_assert_int_eq(state_of(7), MARK_BEGUN);
    ck_assert_int_ne(mark_begin(table, 8, 2, &error), place);
}
END_TEST

START_TEST(what_is_over_gives_its_place_to_others_and_what_was_accepted_does_not)
{
    struct event event = make(1, CS_DELIVERED, "primary");
    int place = mark_begin(table, 1000000, 1000000, &error);
    int held = claim_take(temporary_directory, 5, &error);

    mark_accept(table, place, &event);
    for (int64_t key = 1; key < PLACES; key++)
        ck_assert_int_ge(mark_begin(table, key, key, &error), 0);
    mark_set(table, mark_find(table, 6, &(enum mark_state){0}), MARK_DOT);
    ck_assert_int_ge(mark_begin(table, 2000000, 3, &error), 0); /* nobody holds the others' claims */
    ck_assert_int_eq(state_of(1000000), MARK_ACCEPTED);
    ck_assert_int_eq(state_of(5), MARK_BEGUN);
    ck_assert_int_eq(state_of(6), MARK_DOT);
    ck_assert_int_eq(state_of(4), MARK_NONE);
    close(held);
}
END_TEST

/* What another process does after somebody has read that a place is void, and before he has its claim. */
static void (*meanwhile)(void);

int __real_claim_try(const char *state_dir, int64_t offset);
int __wrap_claim_try(const char *state_dir, int64_t offset);

int __wrap_claim_try(const char *state_dir, int64_t offset)
{
    void (*action)(void) = meanwhile;

    meanwhile = NULL;
    if (action != NULL)
        action();
    return __real_claim_try(state_dir, offset);
}

static struct {
    struct mark_table *table;
    int place, claim;
    enum mark_state state; /* that the next delivery comes to */
} other;

static void give_the_place_to_the_next(void)
{
    mark_end(other.table, other.place);
    other.claim = claim_take(temporary_directory, 8, &error);
    ck_assert_int_eq(mark_begin(other.table, 8, 8, &error), other.place);
    mark_set(other.table, other.place, other.state);
}

/* The race of reclaim(): the claim that it gets is of a delivery that has the place no more. */
START_TEST(a_place_that_changes_hands_while_it_is_reclaimed_is_left_to_its_new_owner)
{
    static const enum mark_state states[] = {MARK_NONE, MARK_BEGUN, MARK_DOT};

    other.table = mark_table_open(temporary_directory, &error);
    other.place = mark_begin(table, 7, 7, &error);
    other.state = states[_i];
    fill(1000);
    meanwhile = give_the_place_to_the_next;
    ck_assert_int_eq(mark_begin(table, 2000000, 2, &error), -1);
    ck_assert_ptr_null(meanwhile);
    ck_assert_int_eq(mark_find(table, 8, &(enum mark_state){0}), other.place);
    ck_assert_int_eq(state_of(8), states[_i]);
    close(other.claim);
    mark_table_close(other.table);
}
END_TEST

static void free_the_place(void)
{
    mark_end(other.table, other.place);
}

START_TEST(a_place_that_is_freed_while_it_is_reclaimed_is_free)
{
    other.table = mark_table_open(temporary_directory, &error);
    other.place = mark_begin(table, 7, 7, &error);
    fill(1000);
    meanwhile = free_the_place;
    ck_assert_int_eq(mark_begin(table, 2000000, 2, &error), other.place);
    ck_assert_ptr_null(meanwhile);
    ck_assert_int_eq(state_of(2000000), MARK_BEGUN);
    mark_table_close(other.table);
}
END_TEST

START_TEST(a_full_file_keeps_the_message_in_the_queue)
{
    struct event event = make(1, CS_DELIVERED, "primary");

    for (int64_t key = 1; key <= PLACES; key++)
        mark_accept(table, mark_begin(table, key, key, &error), &event);
    ck_assert_int_eq(mark_begin(table, PLACES + 1, 1, &error), -1);
    ck_assert_int_eq(error.cause, CAUSE_OURS);
    ck_assert_ptr_nonnull(strstr(error.text, "free some space"));
}
END_TEST

static bool keep_all(void *context, int64_t key, const struct event *event)
{
    ck_assert_int_eq(key, 7);
    ck_assert_str_eq(event->recipient, "user1@example.com");
    return !keep_none(context, key, event);
}

START_TEST(what_nobody_came_back_for_is_found)
{
    struct event event = make(1, CS_DELIVERED, "primary");
    int seen = 0, claim = claim_take(temporary_directory, 1, &error);

    mark_begin(table, 8, 2, &error);
    mark_accept(table, mark_begin(table, 7, 1, &error), &event);
    mark_each_left(table, keep_all, &seen);
    ck_assert_int_eq(seen, 0); /* somebody is at it */
    close(claim);
    mark_each_left(table, keep_none, &seen);
    ck_assert_int_eq(state_of(7), MARK_ACCEPTED);
    mark_each_left(table, keep_all, &seen);
    ck_assert_int_eq(seen, 2);
    ck_assert_int_eq(state_of(7), MARK_NONE);
}
END_TEST

START_TEST(a_file_that_is_cut_short_is_noticed_and_made_anew)
{
    char path[128];
    int place = mark_begin(table, 7, 1, &error);

    snprintf(path, sizeof path, "%s/marks", temporary_directory);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert(!mark_set(table, place, MARK_DOT));
    ck_assert_int_eq(mark_begin(table, 8, 1, &error), -1);
    reopen();
    ck_assert_int_ge(mark_begin(table, 8, 1, &error), 0);
}
END_TEST

START_TEST(every_block_of_the_file_is_there_before_it_is_needed)
{
    struct stat status;
    char path[128];

    snprintf(path, sizeof path, "%s/marks", temporary_directory);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_ge(status.st_blocks * 512, status.st_size);
    ck_assert_int_eq(status.st_mode & 0777, 0600);
}
END_TEST

UNIT_SUITE(mark_suite)
{
    Suite *suite = suite_create("mark");
    TCase *tcase = tcase_create("mark");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_mark_outlives_its_process);
    tcase_add_test(tcase, what_is_half_is_not_believed);
    tcase_add_test(tcase, an_event_under_the_key_of_another_is_not_believed);
    tcase_add_loop_test(tcase, a_place_that_is_being_taken_or_given_back_is_left_alone, 0, 2);
    tcase_add_loop_test(tcase, a_kill_while_a_place_is_taken_or_given_back_does_not_cost_it, 0, 2);
    tcase_add_test(tcase, a_key_that_a_power_cut_left_alone_does_not_cost_a_place);
    tcase_add_test(tcase, what_a_power_cut_tore_gives_its_place_up_after_the_boot);
    tcase_add_test(tcase, a_file_full_of_what_is_under_way_says_so);
    tcase_add_test(tcase, one_key_has_one_place);
    tcase_add_test(tcase, what_is_over_gives_its_place_to_others_and_what_was_accepted_does_not);
    tcase_add_loop_test(tcase, a_place_that_changes_hands_while_it_is_reclaimed_is_left_to_its_new_owner, 0,
                        3);
    tcase_add_test(tcase, a_place_that_is_freed_while_it_is_reclaimed_is_free);
    tcase_add_test(tcase, a_full_file_keeps_the_message_in_the_queue);
    tcase_add_test(tcase, what_nobody_came_back_for_is_found);
    tcase_add_test(tcase, a_file_that_is_cut_short_is_noticed_and_made_anew);
    tcase_add_test(tcase, every_block_of_the_file_is_there_before_it_is_needed);
    suite_add_tcase(suite, tcase);
    return suite;
}
