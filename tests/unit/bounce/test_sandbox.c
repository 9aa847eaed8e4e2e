#include "bounce/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suites.h"

/* --- what fails, and the process lives ---------------------------------------------------------- */

static bool open_file(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool open_by_openat(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0;
}

static bool write_file(void)
{
    return open("/tmp/sendpost-sandbox-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
}

static bool look_at_file(void)
{
    struct stat status;

    return stat("/etc/passwd", &status) == 0;
}

static bool remove_file(void)
{
    return unlink("/tmp/sendpost-sandbox-test") == 0 || errno == ENOENT;
}

static bool make_directory(void)
{
    return mkdir("/tmp/sendpost-sandbox-test", 0700) == 0 || errno == EEXIST;
}

#ifndef __SANITIZE_ADDRESS__ /* which needs these itself */
static bool run_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool make_memory_run(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool take_much_memory(void)
{
    return mmap(NULL, SANDBOX_MEMORY_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool another_descriptor(void)
{
    return dup(STDIN_FILENO) >= 0;
}

#endif

static bool inherited_descriptor(void)
{
    return write(9, "x", 1) == 1;
}

static bool lift_the_limit(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    return setrlimit(RLIMIT_CPU, &limit) == 0;
}

static bool lift_the_filter(void)
{
    return syscall(SYS_seccomp, 0, 0, NULL) == 0;
}

static bool (*const failing[])(void) = {
    open_file,      open_by_openat,  write_file,       look_at_file,         remove_file,
    make_directory, lift_the_limit,  lift_the_filter,  inherited_descriptor,
#ifndef __SANITIZE_ADDRESS__
    run_memory,     make_memory_run, take_much_memory, another_descriptor,
#endif
};

/* --- what ends it ------------------------------------------------------------------------------- */

static bool use_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool use_internet_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool use_pair(void)
{
    int pair[2];

    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;
}

static bool run_program(void)
{
    return execl("/bin/true", "true", (char *)NULL) == 0;
}

static bool run_descriptor(void)
{
    return syscall(SYS_execveat, STDIN_FILENO, "", NULL, NULL, AT_EMPTY_PATH) == 0;
}

static bool make_process(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    return child > 0;
}

static void *nothing(void *argument)
{
    return argument;
}

static bool make_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, nothing, NULL) == 0;
}

static bool signal_parent(void)
{
    return kill(getppid(), 0) == 0;
}

static bool trace_parent(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool (*const fatal[])(void) = {use_socket,  use_internet_socket, use_pair,
                                      run_program, run_descriptor,      make_process,
                                      make_thread, signal_parent,       trace_parent};

/* Its status: 0, the attempt failed; 1, it went well; 2, there was no sandbox. */
static int status_of(bool (*attempt)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct outcome error;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (dup2(null, 9) < 0 || !sandbox_enter(&error))
            _exit(2);
        _exit(attempt() ? 1 : 0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(what_a_library_may_try_fails)
{
    ck_assert_int_eq(status_of(failing[_i]), 0);
}
END_TEST

START_TEST(what_no_library_has_to_try_ends_the_process)
{
    int status = status_of(fatal[_i]);

    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status %x", (unsigned)status);
}
END_TEST

/* --- what is still to be done ------------------------------------------------------------------- */

static bool compute(void)
{
    char *bytes = malloc(10 << 20);
    char text[100];

    if (bytes == NULL)
        return false;
    memset(bytes, 1, 10 << 20);
    bytes = realloc(bytes, 40 << 20);
    int length = snprintf(text, sizeof text, "%d %f\n", bytes[100], 1.5);
    free(bytes);
    return write(STDERR_FILENO, text, 0) == 0 && length > 0;
}

START_TEST(computing_goes_on)
{
    int status = status_of(compute);

    ck_assert_int_eq(WEXITSTATUS(status), 1);
    ck_assert(WIFEXITED(status));
}
END_TEST

START_TEST(time_and_processes_are_limited)
{
    int ready[2], go[2];
    struct rlimit limit;
    char byte;

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        struct outcome error;
        dup2(go[0], STDIN_FILENO);
        dup2(ready[1], STDOUT_FILENO);
        if (!sandbox_enter(&error) || write(STDOUT_FILENO, *sandbox_besides() ? "l" : "-", 1) != 1)
            _exit(1);
        _exit(read(STDIN_FILENO, &byte, 1) == 1 ? 0 : 1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
#ifdef SYS_landlock_create_ruleset
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0)
        ck_assert_int_eq(byte, 'l');
#endif
    ck_assert_int_eq(prlimit(child, RLIMIT_CPU, NULL, &limit), 0);
    ck_assert_uint_eq(limit.rlim_max, SANDBOX_CPU_S);
    ck_assert_int_eq(prlimit(child, RLIMIT_NPROC, NULL, &limit), 0);
    ck_assert_uint_eq(limit.rlim_max, 0);
    ck_assert_int_eq(prlimit(child, RLIMIT_FSIZE, NULL, &limit), 0);
    ck_assert_uint_eq(limit.rlim_max, 0);
    ck_assert_int_eq(write(go[1], "x", 1), 1);
    waitpid(child, NULL, 0);
}
END_TEST

/* The limit strikes where no call is made that could be refused. Twenty seconds of it at length, else one. */
START_TEST(who_computes_for_ever_is_ended)
{
    const struct rlimit one_second = {1, 1};
    int ready[2], status;
    char byte;

    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct outcome error;
        dup2(ready[1], STDOUT_FILENO);
        if (!sandbox_enter(&error) || write(STDOUT_FILENO, "-", 1) != 1)
            _exit(1);
        for (volatile unsigned rounds = 0;; rounds++)
            ;
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    if (getenv("SENDPOST_FULL") == NULL)
        ck_assert_int_eq(prlimit(child, RLIMIT_CPU, &one_second, NULL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", (unsigned)status);
}
END_TEST

UNIT_SUITE(sandbox_suite)
{
    Suite *suite = suite_create("sandbox");
    TCase *tcase = tcase_create("rights");

    suite_add_tcase(suite, tcase);
    if (unit_tests_under_valgrind())
        return suite;
    tcase_add_loop_test(tcase, what_a_library_may_try_fails, 0, (int)(sizeof failing / sizeof *failing));
    tcase_add_loop_test(tcase, what_no_library_has_to_try_ends_the_process, 0,
                        (int)(sizeof fatal / sizeof *fatal));
    tcase_add_test(tcase, computing_goes_on);
    tcase_add_test(tcase, time_and_processes_are_limited);
    tcase_add_test(tcase, who_computes_for_ever_is_ended);
    return suite;
}
