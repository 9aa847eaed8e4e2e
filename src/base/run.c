#include "base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define OUTPUT_MAX (64u << 20)

extern char **environ;

/* What the child wrote into its memory file; no pipe, so no order of reading that could block. *whole_r: all
 * of it. */
static char *slurp(int file, bool *whole_r)
{
    struct stat status;
    size_t length = 0;
    ssize_t got;

    *whole_r = false;
    if (fstat(file, &status) != 0 || status.st_size < 0)
        return xstrdup("");
    size_t size = (size_t)status.st_size < OUTPUT_MAX ? (size_t)status.st_size : OUTPUT_MAX;
    char *text = xmalloc(size + 1);
    while (length < size && (got = pread(file, text + length, size - length, (off_t)length)) > 0)
        length += (size_t)got;
    *whole_r = length == (size_t)status.st_size;
    while (length > 0 && text[length - 1] == '\n')
        length--;
    text[length] = '\0';
    return text;
}

static char *find_program(const char *name)
{
    static const char *const directories[] = {"/usr/sbin", "/sbin"};
    const char *path = getenv("PATH");
    AUTO_FREE char *copy = xstrdup(path != NULL ? path : "/usr/bin:/bin");
    char *rest = copy, *directory;

    if (strchr(name, '/') != NULL)
        return xstrdup(name);
    while ((directory = strsep(&rest, ":")) != NULL) {
        char *found = xasprintf("%s/%s", *directory ? directory : ".", name);
        if (access(found, X_OK) == 0)
            return found;
        free(found);
    }
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        char *found = xasprintf("%s/%s", directories[i], name);
        if (access(found, X_OK) == 0)
            return found;
        free(found);
    }
    return NULL;
}

/* Its wait status. A file descriptor of the child would tell when it ends; the kernels of RHEL 8 have none.
 */
static int wait_for(pid_t child, int64_t until_ms)
{
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    bool bounded = until_ms != INT64_MAX;
    int status = 127 << 8;

    for (;;) {
        pid_t ended = waitpid(child, &status, bounded ? WNOHANG : 0);
        if (ended == child || (ended < 0 && errno != EINTR))
            return status;
        if (bounded && clock_monotonic_ms() > until_ms) {
            kill(child, SIGKILL);
            bounded = false;
        } else if (ended == 0) {
            nanosleep(&pause, NULL);
        }
    }
}

static int spawn(const char *program, const char *const argv[], int out, int err, int64_t until_ms)
{
    posix_spawn_file_actions_t actions;
    pid_t child;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return 127;
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    int trouble = posix_spawn(&child, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (trouble != 0)
        return 127;
    int status = wait_for(child, until_ms);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool run_program(struct run *run, const char *const argv[])
{
    return run_program_until(run, argv, INT64_MAX);
}

bool run_program_until(struct run *run, const char *const argv[], int64_t until_ms)
{
    AUTO_CLOSE int out = memfd_create("stdout", MFD_CLOEXEC);
    AUTO_CLOSE int err = memfd_create("stderr", MFD_CLOEXEC);
    AUTO_FREE char *program = find_program(argv[0]);
    bool whole, ignored;

    *run = (struct run){.status = 127};
    if (program != NULL && out >= 0 && err >= 0)
        run->status = spawn(program, argv, out, err, until_ms);
    run->out = slurp(out, &whole);
    run->err = slurp(err, &ignored);
    return run->status == 0 && whole;
}

void run_free(struct run *run)
{
    free(run->out);
    free(run->err);
    *run = (struct run){0};
}
