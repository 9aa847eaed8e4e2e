#include "supervisor/idle.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "suites.h"
#include "supervisor/meeting_place.h"

static char config[48];
static uint64_t key;

static void write_config(const char *text)
{
    FILE *file = fopen(config, "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static bool sought; /* the next one that starts */

static void set_up(void)
{
    sought = false;
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

/* An idle deliverer that answers a visit by writing its word to the visitor's output, and its channel. */
static pid_t start_deliverer(bool (*fit)(void *context), int idle_ms, char word)
{
    pid_t child = fork();

    if (child == 0) {
        struct idle_stay stay = {.place = meeting_place,
                                 .key = key,
                                 .deadline_ms = clock_monotonic_ms() + idle_ms,
                                 .sought = sought,
                                 .fit = fit,
                                 .glance = word == 'g' ? end_of_stay : NULL};
        struct idle_visit visit;
        char byte = '\0';

        bool visited = idle_await(&stay, &visit);
        idle_end_work(meeting_place, key); /* one visit is all */
        if (!visited)
            _exit(1);
        bool ok = read(visit.gifts[IDLE_INPUT], &byte, 1) == 1 &&
                  write(visit.gifts[IDLE_OUTPUT], &byte, 1) == 1 && visit.gifts[IDLE_READER] >= 0 &&
                  send(visit.channel, &word, 1, MSG_NOSIGNAL) == 1;
        _exit(ok ? 0 : 2);
    }
    ck_assert_int_gt(child, 0);
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

static bool at_once(void *context, const struct idle_wait *wait)
{
    return context == NULL && wait->ms >= 0;
}

static bool nobody_answers(void)
{
    const struct idle_caller caller = {meeting_place, key, (const int[]){0, 1, 1}, at_once, NULL};
    struct idle_deliverer found;

    bool nobody = !idle_call(&caller, &found) && found.channel == -1 && found.process == -1;
    idle_end_work(meeting_place, key);
    return nobody;
}

/* Calls until somebody is there: the child needs a moment to listen. */
static int call(int input, int output, pid_t *pid_r)
{
    int64_t until_ms = clock_monotonic_ms() + 20000;
    struct idle_deliverer found = {-1, -1};
    const int gifts[IDLE_GIFTS] = {input, output, STDOUT_FILENO};
    const struct idle_caller caller = {meeting_place, key, gifts, at_once, NULL};

    while (!idle_call(&caller, &found) && clock_monotonic_ms() < until_ms)
        ck_assert_int_eq(found.channel, -1);
    idle_end_work(meeting_place, key);
    *pid_r = pid_of(found.process);
    close(found.process);
    return found.channel;
}

START_TEST(a_visitor_hands_over_input_and_output)
{
    pid_t child = start_deliverer(always, 20000, 'w'), pid;
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
    pid_t child = start_deliverer(never, 20000, 'w');
    int status = 0;

    while (waitpid(child, &status, WNOHANG) == 0)
        ck_assert(nobody_answers());
    ck_assert_int_eq(WEXITSTATUS(status), 1);
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

static bool is_a_socket(const char *name)
{
    return name[0] != '.' && strncmp(name, "new-", 4) != 0; /* not called yet */
}

START_TEST(one_that_is_sought_is_called_first)
{
    enum { OTHERS = 20 };
    pid_t others[OTHERS], pid;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    char byte;

    for (int i = 0; i < OTHERS; i++)
        others[i] = start_deliverer(always, 20000, 'o');
    sought = true;
    pid_t first = start_deliverer(always, 20000, 's');
    while (meeting_place_count(is_a_socket) != OTHERS + 1)
        usleep(1000);
    int channel = call(zero, nothing, &pid);
    ck_assert_int_eq(pid, first);
    ck_assert_int_eq(recv(channel, &byte, 1, MSG_WAITALL), 1);
    ck_assert_int_eq(exit_status(first), 0);
    close(channel);
    channel = call(zero, nothing, &pid);
    ck_assert_int_eq(recv(channel, &byte, 1, MSG_WAITALL), 1);
    ck_assert_int_eq(byte, 'o'); /* the others come after it */
    close(channel);
    for (int i = 0; i < OTHERS; i++) {
        kill(others[i], SIGKILL);
        waitpid(others[i], NULL, 0);
    }
    nobody_answers(); /* and tidies up */
    close(nothing);
    close(zero);
}
END_TEST

START_TEST(one_that_is_sought_looks_up_now_and_then)
{
    ck_assert_int_eq(exit_status(start_deliverer(always, 200, 'g')), 1); /* nobody seeks it */
    sought = true;
    ck_assert_int_eq(exit_status(start_deliverer(always, 20000, 'g')), 3);
    nobody_answers();
}
END_TEST

START_TEST(what_a_dead_deliverer_left_is_removed)
{
    pid_t child = start_deliverer(always, 20000, 'w');

    while (meeting_place_count(is_a_socket) != 1)
        usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert(nobody_answers());
    while (meeting_place_count(is_a_socket) != 0) /* killed before it had its name */
        ck_assert_int_eq(exit_status(start_deliverer(always, 20, 'w')), 1);
}
END_TEST

START_TEST(no_more_stay_than_there_is_room_for)
{
    char name[32];

    for (int i = 0; i < IDLE_MOST; i++) {
        snprintf(name, sizeof name, "%d-%ld", i, (long)getpid());
        close(openat(meeting_place, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    ck_assert_int_eq(exit_status(start_deliverer(always, 20000, 'w')), 1);
    for (int i = 0; i < IDLE_MOST; i++) {
        snprintf(name, sizeof name, "%d-%ld", i, (long)getpid());
        unlinkat(meeting_place, name, 0);
    }
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
    tcase_add_test(cases, a_place_that_is_not_this_users_alone_is_none);
    tcase_add_test(cases, whatever_changes_finds_nobody);
    if (unit_tests_under_valgrind()) /* pidfd_open(2) */
        return suite;
    tcase_add_test(cases, a_visitor_hands_over_input_and_output);
    tcase_add_test(cases, one_that_is_not_fit_takes_nothing);
    tcase_add_test(cases, each_visitor_has_a_deliverer_of_its_own);
    tcase_add_test(cases, one_that_is_sought_is_called_first);
    tcase_add_test(cases, one_that_is_sought_looks_up_now_and_then);
    tcase_add_test(cases, what_a_dead_deliverer_left_is_removed);
    tcase_add_test(cases, they_take_an_eighth_of_the_memory_at_most);
    return suite;
}
