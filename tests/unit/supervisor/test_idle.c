#include "supervisor/idle.h"

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

static char directory[] = "/tmp/sendpost-test-XXXXXX";
static char config[sizeof directory + 16];
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
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(config, sizeof config, "%s/config.yaml", directory);
    write_config("one");
    ck_assert(idle_key("/proc/self/exe", config, &key));
}

static void tear_down(void)
{
    unlink(config);
    rmdir(directory);
}

static bool always(void *context)
{
    return context == NULL;
}

static bool never(void *context)
{
    return context != NULL;
}

/* An idle deliverer that answers a visit by writing its word to the visitor's output, and its channel. */
static pid_t start_deliverer(bool (*fit)(void *context), int idle_ms, char word)
{
    pid_t child = fork();

    if (child == 0) {
        struct idle_visit visit;
        char byte = '\0';

        if (!idle_await(key, clock_monotonic_ms() + idle_ms, fit, NULL, &visit))
            _exit(1);
        bool ok = read(visit.input, &byte, 1) == 1 && write(visit.output, &byte, 1) == 1 &&
                  send(visit.channel, &word, 1, MSG_NOSIGNAL) == 1;
        _exit(ok ? 0 : 2);
    }
    ck_assert_int_gt(child, 0);
    return child;
}

static int status_of(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Calls until somebody is there: the child needs a moment to listen. */
static int call(int input, int output, pid_t *pid_r)
{
    int64_t until_ms = clock_monotonic_ms() + 20000;
    int channel = -1;

    while (channel < 0 && clock_monotonic_ms() < until_ms)
        channel = idle_call(key, input, output, pid_r);
    return channel;
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
    ck_assert_int_eq(status_of(child), 0);
    for (int i = 0; i < 2; i++) {
        close(input[i]);
        close(output[i]);
    }
    close(channel);
}
END_TEST

START_TEST(nobody_there_is_said_at_once)
{
    pid_t pid;

    ck_assert_int_eq(idle_call(key, STDIN_FILENO, STDOUT_FILENO, &pid), -1);
}
END_TEST

START_TEST(nobody_comes_is_said_in_time)
{
    ck_assert_int_eq(status_of(start_deliverer(always, 50, 'w')), 1);
}
END_TEST

START_TEST(one_that_is_not_fit_takes_nothing)
{
    pid_t child = start_deliverer(never, 20000, 'w'), pid;
    int status = 0;

    while (waitpid(child, &status, WNOHANG) == 0)
        ck_assert_int_eq(idle_call(key, STDIN_FILENO, STDOUT_FILENO, &pid), -1);
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
        ck_assert_int_eq(status_of(children[i]), 0);
    close(nothing);
    close(zero);
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
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, a_visitor_hands_over_input_and_output);
    tcase_add_test(cases, nobody_there_is_said_at_once);
    tcase_add_test(cases, nobody_comes_is_said_in_time);
    tcase_add_test(cases, one_that_is_not_fit_takes_nothing);
    tcase_add_test(cases, each_visitor_has_a_deliverer_of_its_own);
    tcase_add_test(cases, whatever_changes_finds_nobody);
    suite_add_tcase(suite, cases);
    return suite;
}
