/* Those who wait at the meeting place: each is served, in the order in which they came. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "suites.h"
#include "supervisor/idle_private.h"
#include "supervisor/meeting_place.h"

#define KEY 0x1234
#define LONG_MS 240000 /* for what comes at once, on a machine that does much else */

static int served[2]; /* the numbers of those who were, as their deliverers read them */

static int part;      /* of the test itself */
static bool stubborn; /* those who wait come again */
static bool starts;   /* who is to start one does so */

static void set_up(void)
{
    starts = stubborn = false;
    part = -1;
    meeting_place_make();
    ck_assert_int_eq(pipe2(served, O_CLOEXEC), 0);
}

static void tear_down(void)
{
    close(served[0]);
    close(served[1]);
    meeting_place_remove();
}

static bool fit(void *context)
{
    return context == NULL;
}

static pid_t start_deliverer(int visits, int64_t idle_ms)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    const struct idle_stay stay = {.deadline_ms = clock_monotonic_ms() + idle_ms, .fit = fit};
    struct idle_member member;
    if (!idle_join(meeting_places, KEY, &member))
        _exit(1);
    for (struct idle_visit visit; visits > 0 && idle_await(&member, &stay, &visit); visits--) {
        char number;
        if (read(visit.gifts[IDLE_INPUT], &number, 1) != 1 || write(served[1], &number, 1) != 1)
            _exit(1);
        for (int i = 0; i < IDLE_GIFTS; i++)
            close(visit.gifts[i]);
        close(visit.channel);
    }
    _exit(visits == 0 ? 0 : 2);
}

/* As one that is at work does: others count on it until it is closed. */
static int take_part(void)
{
    part = idle_line_open(meeting_place, KEY, IDLE_ANSWERS);
    ck_assert_int_ge(part, 0);
    return part;
}

static bool enough(void *context, const struct idle_wait *wait)
{
    return wait->ms >= *(const int64_t *)context;
}

/* Ends with 0 when it was served, with 3 when it is to start one. */
static pid_t start_waiting(char number, int64_t patience_ms)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    int input[2], line;
    close(part); /* it is the test's alone */
    if (pipe(input) != 0 || write(input[1], &number, 1) != 1)
        _exit(1);
    const int gifts[IDLE_GIFTS] = {input[0], input[1], input[1]};
    const struct idle_caller caller = {meeting_place, KEY, gifts, enough, &patience_ms};
    struct idle_deliverer found;
    bool called = idle_call(&caller, &found, &line);
    while (!called && stubborn) { /* a deliverer waits a second for who is not scheduled */
        close(line);
        called = idle_call(&caller, &found, &line);
    }
    if (called)
        _exit(0);
    while (starts) /* one, for which the others wait, until it is killed */
        starts = write(served[1], "S", 1) == 1 && pause() == 0;
    _exit(3);
}

static bool note_whether_it_asks(void *context, const struct idle_wait *wait)
{
    *(bool *)context = wait->asks;
    return true;
}

static bool asks_for_all(void)
{
    bool asks = false;
    const struct idle_caller caller = {meeting_place, KEY, (const int[]){0, 0, 0}, note_whether_it_asks,
                                       &asks};
    struct idle_deliverer found;
    int line;

    ck_assert(!idle_call(&caller, &found, &line));
    close(line);
    return asks;
}

static void wait_for_line(int line, int length)
{
    int bytes = -1;

    while (bytes != length * (int)sizeof(struct idle_token)) {
        ck_assert_int_eq(ioctl(line, FIONREAD, &bytes), 0);
        usleep(1000);
    }
}

static char next_served(void)
{
    char number = 0;

    ck_assert_int_eq(read(served[0], &number, 1), 1);
    return number;
}

START_TEST(they_are_served_in_the_order_in_which_they_came)
{
    enum { COUNT = 12 };
    pid_t waiting[COUNT];
    int line = take_part();

    for (int i = 0; i < COUNT; i++) {
        waiting[i] = start_waiting((char)('a' + i), LONG_MS);
        wait_for_line(line, i + 1);
    }
    pid_t deliverer = start_deliverer(COUNT, LONG_MS);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(next_served(), 'a' + i);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(exit_status(waiting[i]), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
    close(line);
}
END_TEST

/* Whatever comes first to the meeting place, the two find each other. */
START_TEST(nobody_lies_there_while_another_waits)
{
    enum { ROUNDS = 20, COUNT = 8 };
    pid_t waiting[COUNT], deliverers[COUNT];
    int line = take_part();

    stubborn = true;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++) {
            waiting[i] = start_waiting('x', LONG_MS);
            deliverers[i] = start_deliverer(1, LONG_MS);
        }
        for (int i = 0; i < COUNT; i++) {
            ck_assert_int_eq(exit_status(waiting[i]), 0);
            ck_assert_int_eq(exit_status(deliverers[i]), 0);
            ck_assert_int_eq(next_served(), 'x');
        }
    }
    close(line);
}
END_TEST

START_TEST(one_that_died_in_line_holds_nobody_up)
{
    int line = take_part();
    pid_t dead = start_waiting('d', LONG_MS);

    wait_for_line(line, 1);
    pid_t waiting = start_waiting('w', LONG_MS);
    wait_for_line(line, 2);
    kill(dead, SIGKILL);
    waitpid(dead, NULL, 0);
    pid_t deliverer = start_deliverer(1, LONG_MS);
    ck_assert_int_eq(next_served(), 'w');
    ck_assert_int_eq(exit_status(waiting), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
    close(line);
}
END_TEST

START_TEST(one_that_is_stopped_in_line_is_passed_over)
{
    int line = take_part();
    pid_t stopped = start_waiting('s', LONG_MS);

    wait_for_line(line, 1);
    kill(stopped, SIGSTOP);
    pid_t waiting = start_waiting('w', LONG_MS);
    wait_for_line(line, 2);
    pid_t deliverer = start_deliverer(1, LONG_MS);
    ck_assert_int_eq(next_served(), 'w');
    ck_assert_int_eq(exit_status(waiting), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
    kill(stopped, SIGCONT); /* who called it has gone: it starts one of its own */
    ck_assert_int_eq(exit_status(stopped), 3);
    close(line);
}
END_TEST

START_TEST(nonsense_in_the_line_is_passed_over)
{
    static const char *const names[] = {"../../etc/passwd", "started", "", "1.2/3", "99999999.1"};
    struct idle_token token;
    int line = take_part();

    memset(&token, 'x', sizeof token); /* has no end */
    ck_assert_int_eq(write(line, &token, sizeof token), sizeof token);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        memset(&token, 0, sizeof token);
        snprintf(token.name, sizeof token.name, "%s", names[i]);
        ck_assert_int_eq(write(line, &token, sizeof token), sizeof token);
    }
    pid_t waiting = start_waiting('w', LONG_MS), deliverer = start_deliverer(1, LONG_MS);
    ck_assert_int_eq(next_served(), 'w');
    ck_assert_int_eq(exit_status(waiting), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
    ck_assert_int_eq(write(line, "short", 5), 5);
    ck_assert(!idle_token_read(line, &token));
    close(line);
}
END_TEST

START_TEST(where_nobody_is_at_work_nobody_is_waited_for)
{
    ck_assert_int_eq(exit_status(start_waiting('w', LONG_MS)), 3);
    close(take_part()); /* the line is there now, and nobody reads it */
    ck_assert_int_eq(exit_status(start_waiting('w', LONG_MS)), 3);
}
END_TEST

/* One starts one, and the others wait for that. */
START_TEST(the_end_of_the_last_at_work_is_heard)
{
    enum { COUNT = 5 };
    pid_t waiting[COUNT];
    int line = take_part();

    starts = true;
    for (int i = 0; i < COUNT; i++)
        waiting[i] = start_waiting((char)('a' + i), LONG_MS);
    wait_for_line(line, COUNT);
    close(line);
    ck_assert_int_eq(next_served(), 'S');
    pid_t deliverer = start_deliverer(COUNT - 1, LONG_MS);
    for (int i = 0; i < COUNT - 1; i++)
        ck_assert_int_ne(next_served(), 'S');
    ck_assert_int_eq(exit_status(deliverer), 0);
    for (int i = 0; i < COUNT; i++) {
        kill(waiting[i], SIGKILL); /* the one that has started one, all others were served */
        waitpid(waiting[i], NULL, 0);
    }
}
END_TEST

START_TEST(one_asks_for_all)
{
    int line = take_part(), another = idle_line_open(meeting_place, KEY, IDLE_CALLS);

    ck_assert(asks_for_all());
    ck_assert_int_eq(flock(another, LOCK_EX | LOCK_NB), 0);
    ck_assert(!asks_for_all());
    close(another);
    close(line);
}
END_TEST

/* It is told so, or the deliverer that is counted on is nobody else's. */
START_TEST(descriptors_that_come_late_are_not_sent_or_seen)
{
    const int gifts[IDLE_GIFTS] = {0, 0, 0};
    int ends[2];

    for (int sent = 0; sent < 2; sent++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        if (sent)
            ck_assert(idle_send_descriptors(ends[0], gifts));
        ck_assert(idle_descriptors_came_late(ends[1]) == sent);
        ck_assert(!idle_send_descriptors(ends[0], gifts));
        close(ends[0]);
        close(ends[1]);
    }
}
END_TEST

START_TEST(one_that_has_waited_enough_leaves_nothing)
{
    int line = take_part();

    ck_assert_int_eq(exit_status(start_waiting('x', 0)), 3);
    ck_assert_int_eq(exit_status(start_waiting('x', 50)), 3);
    close(line);
}
END_TEST

UNIT_SUITE(idle_queue_suite)
{
    Suite *suite = suite_create("idle queue");
    TCase *cases = tcase_create("queue");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    suite_add_tcase(suite, cases);
    tcase_add_test(cases, descriptors_that_come_late_are_not_sent_or_seen);
    tcase_add_test(cases, one_that_has_waited_enough_leaves_nothing);
    tcase_add_test(cases, where_nobody_is_at_work_nobody_is_waited_for);
    tcase_add_test(cases, one_asks_for_all);
    if (unit_tests_under_valgrind()) /* pidfd_open(2) */
        return suite;
    tcase_add_test(cases, the_end_of_the_last_at_work_is_heard);
    tcase_add_test(cases, they_are_served_in_the_order_in_which_they_came);
    tcase_add_test(cases, nobody_lies_there_while_another_waits);
    tcase_add_test(cases, one_that_died_in_line_holds_nobody_up);
    tcase_add_test(cases, one_that_is_stopped_in_line_is_passed_over);
    tcase_add_test(cases, nonsense_in_the_line_is_passed_over);
    return suite;
}
