/* Those who wait at the meeting place: each is served, in the order in which they came. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static bool stubborn; /* those who wait come again */

static void set_up(void)
{
    stubborn = false;
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

static pid_t start_deliverer(int visits, int idle_ms)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    const struct idle_stay stay = {meeting_place, KEY, clock_monotonic_ms() + idle_ms, false, fit,
                                   NULL,          NULL};
    for (struct idle_visit visit; visits > 0 && idle_await(&stay, &visit); visits--) {
        char number;
        if (read(visit.gifts[IDLE_INPUT], &number, 1) != 1 || write(served[1], &number, 1) != 1)
            _exit(1);
        for (int i = 0; i < IDLE_GIFTS; i++)
            close(visit.gifts[i]);
        close(visit.channel);
    }
    idle_end_work(meeting_place, KEY);
    _exit(visits == 0 ? 0 : 2);
}

/* Takes a visit, says so, and is at work until it is killed. */
static pid_t start_working(void)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    const struct idle_stay stay = {meeting_place, KEY, clock_monotonic_ms() + LONG_MS, false, fit,
                                   NULL,          NULL};
    struct idle_visit visit;
    char number;
    if (idle_await(&stay, &visit) && read(visit.gifts[IDLE_INPUT], &number, 1) == 1 &&
        write(served[1], &number, 1) == 1)
        for (;;)
            pause();
    _exit(1);
}

static bool enough(void *context, const struct idle_wait *wait)
{
    return wait->ms >= *(const int64_t *)context;
}

/* Ends with 0 when it was served. */
static pid_t start_waiting(char number, int64_t patience_ms)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    int input[2];
    if (pipe(input) != 0 || write(input[1], &number, 1) != 1)
        _exit(1);
    const int gifts[IDLE_GIFTS] = {input[0], input[1], input[1]};
    const struct idle_caller caller = {meeting_place, KEY, gifts, enough, &patience_ms};
    struct idle_deliverer found;
    bool called = idle_call(&caller, &found);
    while (!called && stubborn) /* a deliverer waits a second for who is not scheduled */
        called = idle_call(&caller, &found);
    idle_end_work(meeting_place, KEY);
    _exit(called ? 0 : 3);
}

static bool note_whether_in_vain(void *context, const struct idle_wait *wait)
{
    *(bool *)context = wait->in_vain;
    return true;
}

static bool waits_in_vain(void)
{
    bool in_vain = false;
    const struct idle_caller caller = {meeting_place, KEY, (const int[]){0, 0, 0}, note_whether_in_vain,
                                       &in_vain};
    struct idle_deliverer found;

    ck_assert(!idle_call(&caller, &found));
    return in_vain;
}

static bool is_in_line(const char *name)
{
    return strchr(name, '?') != NULL;
}

static void wait_for_line(unsigned length)
{
    while (meeting_place_count(is_in_line) != length)
        usleep(1000);
    usleep(2000); /* the time in the next name is another */
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

    for (int i = 0; i < COUNT; i++) {
        waiting[i] = start_waiting((char)('a' + i), LONG_MS);
        wait_for_line((unsigned)i + 1);
    }
    pid_t deliverer = start_deliverer(COUNT, LONG_MS);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(next_served(), 'a' + i);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(exit_status(waiting[i]), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
}
END_TEST

/* Whatever comes first to the meeting_place, the two find each other. */
START_TEST(nobody_lies_there_while_another_waits)
{
    enum { ROUNDS = 20, COUNT = 8 };
    pid_t waiting[COUNT], deliverers[COUNT];

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
}
END_TEST

START_TEST(one_that_died_in_line_holds_nobody_up)
{
    pid_t dead = start_waiting('d', LONG_MS);

    wait_for_line(1);
    pid_t waiting = start_waiting('w', LONG_MS);
    wait_for_line(2);
    kill(dead, SIGKILL);
    waitpid(dead, NULL, 0);
    pid_t deliverer = start_deliverer(1, LONG_MS);
    ck_assert_int_eq(next_served(), 'w');
    ck_assert_int_eq(exit_status(waiting), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
    ck_assert_uint_eq(meeting_place_count(is_in_line), 0);
}
END_TEST

START_TEST(one_that_was_stopped_in_line_is_passed_over)
{
    pid_t stopped = start_waiting('s', LONG_MS);
    char name[64];

    wait_for_line(1);
    kill(stopped, SIGSTOP);
    pid_t waiting = start_waiting('w', LONG_MS);
    wait_for_line(2);
    pid_t deliverer = start_deliverer(2, LONG_MS);
    ck_assert_int_eq(next_served(), 'w');
    ck_assert_int_eq(exit_status(waiting), 0);
    snprintf(name, sizeof name, "%016x-%ld", KEY, (long)deliverer);
    while (faccessat(meeting_place, name, F_OK, 0) !=
           0) /* else it would leave the line, and one be started */
        usleep(1000);
    kill(stopped, SIGCONT); /* it finds that who called it has gone, and is still in line */
    ck_assert_int_eq(next_served(), 's');
    ck_assert_int_eq(exit_status(stopped), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
}
END_TEST

START_TEST(who_waits_for_nobody_is_told_so)
{
    ck_assert(waits_in_vain());
    ck_assert(!waits_in_vain()); /* this process may have started one */
    idle_end_work(meeting_place, KEY);
    ck_assert(waits_in_vain());
    idle_end_work(meeting_place, KEY);
    if (unit_tests_under_valgrind()) /* pidfd_open(2) */
        return;
    pid_t waiting = start_waiting('w', LONG_MS);
    wait_for_line(1);
    pid_t working = start_working();
    ck_assert_int_eq(next_served(), 'w');
    ck_assert_int_eq(exit_status(waiting), 0);
    ck_assert(!waits_in_vain());
    idle_end_work(meeting_place, KEY);
    kill(working, SIGKILL);
    waitpid(working, NULL, 0);
    ck_assert(waits_in_vain());
    idle_end_work(meeting_place, KEY);
}
END_TEST

/* One is to be started in its stead. */
START_TEST(who_has_waited_longest_hears_that_a_deliverer_ends)
{
    pid_t first = start_waiting('f', LONG_MS);

    wait_for_line(1);
    pid_t second = start_waiting('s', LONG_MS);
    wait_for_line(2);
    idle_leave(meeting_place, KEY + 1); /* of another kind */
    idle_leave(meeting_place, KEY);
    ck_assert_int_eq(exit_status(first), 3);
    wait_for_line(1);
    pid_t deliverer = start_deliverer(1, LONG_MS);
    ck_assert_int_eq(next_served(), 's');
    ck_assert_int_eq(exit_status(second), 0);
    ck_assert_int_eq(exit_status(deliverer), 0);
    idle_leave(meeting_place, KEY); /* nobody is there */
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
    ck_assert_int_eq(exit_status(start_waiting('x', 0)), 3);
    ck_assert_int_eq(exit_status(start_waiting('x', 50)), 3);
    ck_assert_uint_eq(meeting_place_count(is_in_line), 0);
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
    tcase_add_test(cases, who_waits_for_nobody_is_told_so);
    if (unit_tests_under_valgrind()) /* pidfd_open(2) */
        return suite;
    tcase_add_test(cases, who_has_waited_longest_hears_that_a_deliverer_ends);
    tcase_add_test(cases, they_are_served_in_the_order_in_which_they_came);
    tcase_add_test(cases, nobody_lies_there_while_another_waits);
    tcase_add_test(cases, one_that_died_in_line_holds_nobody_up);
    tcase_add_test(cases, one_that_was_stopped_in_line_is_passed_over);
    return suite;
}
