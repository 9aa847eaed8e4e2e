#include "supervisor/idle_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "suites.h"
#include "supervisor/meeting_place.h"

#define LONG_MS 240000 /* for what comes at once, on a machine that does much else */

static char config[48];
static uint64_t key;

static void write_config(const char *text)
{
    FILE *file = fopen(config, "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void set_up(void)
{
    meeting_place_make();
    snprintf(config, sizeof config, "%s/config.yaml", meeting_places);
    write_config("one");
    ck_assert(idle_key("/proc/self/exe", config, &key));
}

static void tear_down(void)
{
    unlink(config);
    meeting_place_remove();
}

static bool always(void *context)
{
    return context == NULL;
}

static bool never(void *context)
{
    return context != NULL;
}

static void end_of_stay(void *context)
{
    _exit(context == NULL ? 3 : 4);
}

/* A deliverer that answers a visit by writing its word to the visitor's output, and its channel. It takes
 * part when this is back. */
static pid_t start_deliverer(bool (*fit)(void *context), int idle_ms, char word)
{
    int joined[2];
    char byte = '\0';

    ck_assert_int_eq(pipe2(joined, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct idle_member member;
        struct idle_stay stay = {.deadline_ms = clock_monotonic_ms() + idle_ms,
                                 .fit = fit,
                                 .glance = word == 'g' ? end_of_stay : NULL};
        struct idle_visit visit;

        if (!idle_join(meeting_places, key, &member) || write(joined[1], "j", 1) != 1)
            _exit(5);
        bool visited = idle_await(&member, &stay, &visit);
        idle_part(&member); /* one visit is all */
        if (!visited)
            _exit(1);
        bool ok = read(visit.gifts[IDLE_INPUT], &byte, 1) == 1 &&
                  write(visit.gifts[IDLE_OUTPUT], &byte, 1) == 1 && visit.gifts[IDLE_READER] >= 0 &&
                  send(visit.channel, &word, 1, MSG_NOSIGNAL) == 1;
        _exit(ok ? 0 : 2);
    }
    ck_assert_int_gt(child, 0);
    close(joined[1]);
    ck_assert_int_eq(read(joined[0], &byte, 1), 1);
    close(joined[0]);
    return child;
}

/* What the kernel says of a pidfd. */
static pid_t pid_of(int process)
{
    char path[64], line[128];
    long pid = -1;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", process);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Pid: %ld", &pid);
    if (file != NULL)
        fclose(file);
    return (pid_t)pid;
}

static bool in_a_long_time(void *context, const struct idle_wait *wait)
{
    return context == NULL && wait->ms >= 240000;
}

static bool nobody_answers(void)
{
    const struct idle_caller caller = {meeting_place, key, (const int[]){0, 1, 1}, in_a_long_time, NULL};
    struct idle_deliverer found;
    int line;

    bool nobody = !idle_call(&caller, &found, &line) && found.channel == -1 && found.process == -1;
    if (line >= 0)
        close(line);
    return nobody && line >= 0;
}

static int call(int input, int output, pid_t *pid_r)
{
    struct idle_deliverer found = {-1, -1};
    const int gifts[IDLE_GIFTS] = {input, output, STDOUT_FILENO};
    const struct idle_caller caller = {meeting_place, key, gifts, in_a_long_time, NULL};
    int line;

    ck_assert(idle_call(&caller, &found, &line));
    ck_assert_int_eq(line, -1);
    *pid_r = pid_of(found.process);
    close(found.process);
    return found.channel;
}

START_TEST(a_visitor_hands_over_input_and_output)
{
    pid_t child = start_deliverer(always, LONG_MS, 'w'), pid;
    int input[2], output[2];
    char byte;

    ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
    int channel = call(input[0], output[1], &pid);
    ck_assert_int_ge(channel, 0);
    ck_assert_int_eq(pid, child);
    ck_assert_int_eq(write(input[1], "m", 1), 1);
    ck_assert_int_eq(read(output[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'm');
    ck_assert_int_eq(recv(channel, &byte, 1, MSG_WAITALL), 1);
    ck_assert_int_eq(byte, 'w');
    ck_assert_int_eq(exit_status(child), 0);
    for (int i = 0; i < 2; i++) {
        close(input[i]);
        close(output[i]);
    }
    close(channel);
}
END_TEST

START_TEST(nobody_there_is_said_at_once)
{
    ck_assert(nobody_answers());
}
END_TEST

START_TEST(nobody_comes_is_said_in_time)
{
    ck_assert_int_eq(exit_status(start_deliverer(always, 50, 'w')), 1);
}
END_TEST

START_TEST(one_that_is_not_fit_takes_nothing)
{
    pid_t child = start_deliverer(never, LONG_MS, 'w');

    ck_assert(nobody_answers());
    ck_assert_int_eq(exit_status(child), 1);
}
END_TEST

START_TEST(each_visitor_has_a_deliverer_of_its_own)
{
    enum { COUNT = 8 };
    pid_t children[COUNT], pids[COUNT];
    int channels[COUNT], nothing = open("/dev/null", O_RDWR | O_CLOEXEC),
                         zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    char byte;

    for (int i = 0; i < COUNT; i++)
        children[i] = start_deliverer(always, 20000, (char)('a' + i));
    for (int i = 0; i < COUNT; i++) {
        channels[i] = call(zero, nothing, &pids[i]);
        ck_assert_int_ge(channels[i], 0);
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(pids[i], pids[j]);
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(recv(channels[i], &byte, 1, MSG_WAITALL), 1);
        close(channels[i]);
    }
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(exit_status(children[i]), 0);
    close(nothing);
    close(zero);
}
END_TEST

START_TEST(one_that_keeps_something_looks_up_now_and_then)
{
    ck_assert_int_eq(exit_status(start_deliverer(always, LONG_MS, 'g')), 3);
}
END_TEST

START_TEST(nobody_counts_on_one_that_was_killed)
{
    pid_t child = start_deliverer(always, LONG_MS, 'w');

    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert(nobody_answers());
}
END_TEST

START_TEST(no_more_stay_than_there_is_room_for)
{
    struct idle_member member;
    const struct idle_stay stay = {.deadline_ms = clock_monotonic_ms() + LONG_MS, .fit = always};
    struct idle_visit visit;

    ck_assert(idle_join(meeting_places, key, &member));
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = IDLE_MOST};
    int seats = openat(meeting_place, "seats", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(fcntl(seats, F_OFD_SETLK, &all), 0);
    ck_assert(!idle_await(&member, &stay, &visit));
    close(seats);
    const struct idle_stay shorter = {.deadline_ms = clock_monotonic_ms() + 20, .fit = always};
    ck_assert(!idle_await(&member, &shorter, &visit)); /* but only after its time */
    ck_assert_int_ge(clock_monotonic_ms(), shorter.deadline_ms);
    idle_part(&member);
}
END_TEST

static void leave(const char *name, bool socket, time_t age_s)
{
    const struct timespec at = {.tv_sec = time(NULL) - age_s};

    if (socket)
        close(idle_listen(meeting_place, name));
    else
        ck_assert_int_eq(mkfifoat(meeting_place, name, 0600), 0);
    ck_assert_int_eq(utimensat(meeting_place, name, (const struct timespec[2]){at, at}, 0), 0);
}

static bool is_there(const char *name)
{
    return faccessat(meeting_place, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

START_TEST(what_the_dead_left_is_removed)
{
    pid_t dead = fork();
    char of_the_dead[32], of_the_living[32];
    struct idle_member member;

    if (dead == 0)
        _exit(0);
    ck_assert_int_eq(exit_status(dead), 0);
    snprintf(of_the_dead, sizeof of_the_dead, "%ld.1f", (long)dead);
    snprintf(of_the_living, sizeof of_the_living, "%ld.1f", (long)getpid());
    leave(of_the_dead, true, 0);
    leave(of_the_living, true, 0);
    leave("00000000000000aa", false, 100000); /* nobody reads it any more */
    leave("00000000000000bb", false, 100000);
    leave("00000000000000cc", false, 10);
    int reader = openat(meeting_place, "00000000000000bb", O_RDWR | O_CLOEXEC);
    ck_assert(idle_join(meeting_places, key, &member));
    ck_assert(!is_there(of_the_dead) && !is_there("00000000000000aa"));
    ck_assert(is_there(of_the_living) && is_there("00000000000000bb") && is_there("00000000000000cc"));
    unlinkat(meeting_place, of_the_living, 0);
    idle_part(&member);
    close(reader);
}
END_TEST

START_TEST(they_take_an_eighth_of_the_memory_at_most)
{
    ck_assert_uint_eq(idle_most(UINT64_C(128) << 20), IDLE_FEWEST);
    ck_assert_uint_eq(idle_most(UINT64_C(512) << 20), 16);
    ck_assert_uint_eq(idle_most(UINT64_C(8) << 30), 256);
    ck_assert_uint_eq(idle_most(UINT64_C(1) << 40), IDLE_MOST);
}
END_TEST

START_TEST(a_place_that_is_not_this_users_alone_is_none)
{
    char path[96];

    idle_place_path(meeting_places, geteuid(), path, sizeof path);
    ck_assert_int_eq(chmod(path, 0710), 0);
    ck_assert_int_eq(idle_place_open(meeting_places, true), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(chmod(path, 0700), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 65534, 65534), 0);
        ck_assert_int_eq(idle_place_open(meeting_places, true), -1);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_int_eq(chown(path, 0, 0), 0);
    }
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(idle_place_open(meeting_places, false), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(symlink("/tmp", path), 0);
    ck_assert_int_eq(idle_place_open(meeting_places, true), -1);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}
END_TEST

START_TEST(whatever_changes_finds_nobody)
{
    uint64_t other;

    ck_assert(idle_key("/proc/self/exe", config, &other));
    ck_assert(other == key);
    ck_assert(idle_key("/bin/true", config, &other));
    ck_assert(other != key);
    setenv("SENDPOST_TEST", "x", 1);
    ck_assert(idle_key("/proc/self/exe", config, &other));
    ck_assert(other != key);
    unsetenv("SENDPOST_TEST");
    ck_assert_int_eq(chmod(config, 0600), 0);
    ck_assert(idle_key("/proc/self/exe", config, &other));
    ck_assert(other != key);
    key = other;
    write_config("another");
    ck_assert(idle_key("/proc/self/exe", config, &other));
    ck_assert(other != key);
    ck_assert_int_eq(unlink(config), 0);
    ck_assert(!idle_key("/proc/self/exe", config, &other));
}
END_TEST

UNIT_SUITE(idle_suite)
{
    Suite *suite = suite_create("idle");
    TCase *cases = tcase_create("rendezvous");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    suite_add_tcase(suite, cases);
    tcase_add_test(cases, nobody_there_is_said_at_once);
    tcase_add_test(cases, nobody_comes_is_said_in_time);
    tcase_add_test(cases, no_more_stay_than_there_is_room_for);
    tcase_add_test(cases, nobody_counts_on_one_that_was_killed);
    tcase_add_test(cases, one_that_keeps_something_looks_up_now_and_then);
    tcase_add_test(cases, what_the_dead_left_is_removed);
    tcase_add_test(cases, a_place_that_is_not_this_users_alone_is_none);
    tcase_add_test(cases, whatever_changes_finds_nobody);
    if (unit_tests_under_valgrind()) /* pidfd_open(2) */
        return suite;
    tcase_add_test(cases, a_visitor_hands_over_input_and_output);
    tcase_add_test(cases, one_that_is_not_fit_takes_nothing);
    tcase_add_test(cases, each_visitor_has_a_deliverer_of_its_own);
    tcase_add_test(cases, they_take_an_eighth_of_the_memory_at_most);
    return suite;
}
