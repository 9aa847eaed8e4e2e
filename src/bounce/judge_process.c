#include "bounce/judge_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define PROGRAM "sendpost-judge"
#define TIME_MS 60000 /* for one report: its CPU time is over long before (bounce/sandbox.h) */
#define END_MS 2000   /* to end, when it has said all */

extern char **environ;

/* It lies beside us, in the installed tree as in the build tree. */
static char *path_of_judge(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return xstrdup(PKGLIBEXECDIR "/" PROGRAM);
    *slash = '\0';
    return xasprintf("%s/" PROGRAM, path);
}

/* It needs none; a sanitizer is told by it where to write. */
static char **environment_of_judge(void)
{
#ifdef __SANITIZE_ADDRESS__
    return environ;
#else
    static char *none[] = {NULL};

    return none;
#endif
}

bool judge_start(struct judge_process *process_r, const char *rules_path,
                 const struct delivery_request *request, struct outcome *error_r)
{
    AUTO_FREE char *path = path_of_judge();
    char *arguments[] = {(char *)PROGRAM, (char *)(uintptr_t)rules_path, (char *)(uintptr_t)request->sender,
                         (char *)(uintptr_t)request->recipient, NULL};
    posix_spawn_file_actions_t actions;
    int output[2];

    *process_r = (struct judge_process){.pid = -1, .output = -1};
    if (pipe2(output, O_CLOEXEC) != 0) {
        outcome_local(error_r, "4.3.0", "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    /* the supervisor hears of us alone, and pipe(8) does not wait for another */
    posix_spawn_file_actions_addclose(&actions, REQUEST_DESCRIPTOR);
    posix_spawn_file_actions_addclose(&actions, READER_DESCRIPTOR);
    int error = posix_spawn(&process_r->pid, path, &actions, NULL, arguments, environment_of_judge());
    posix_spawn_file_actions_destroy(&actions);
    close(output[1]);
    process_r->output = output[0];
    if (error == 0)
        return true;
    close(output[0]);
    *process_r = (struct judge_process){.pid = -1, .output = -1};
    outcome_local(error_r, "4.3.0", "cannot start %s: %s; install the package anew", path, strerror(error));
    return false;
}

/* All it says, up to one byte too many. False: it took too long. */
static bool read_all(int output, int64_t deadline_ms, char *text, size_t size, size_t *length_r)
{
    struct pollfd ready = {.fd = output, .events = POLLIN};

    for (*length_r = 0; *length_r < size;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return false;
        if (poll(&ready, 1, (int)left_ms) <= 0)
            continue;
        ssize_t got = read(output, text + *length_r, size - *length_r);
        if (got == 0)
            return true;
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return true; /* what is missing is seen soon enough */
        *length_r += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Its status. One that does not end in time is ended. */
static int wait_for_end(pid_t pid, int64_t deadline_ms)
{
    int status = 0;
    pid_t reaped;

    while ((reaped = waitpid(pid, &status, WNOHANG)) == 0 && clock_monotonic_ms() < deadline_ms)
        poll(NULL, 0, 1);
    if (reaped == 0) {
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    return status;
}

static bool ended_well(int status, bool in_time, struct outcome *error_r)
{
    if (!in_time)
        outcome_local(error_r, "4.3.0", PROGRAM " took longer than %d s for a report and was ended",
                      TIME_MS / 1000);
    else if (WIFSIGNALED(status))
        outcome_local(error_r, "4.3.0", PROGRAM " died with signal %d (%s)%s", WTERMSIG(status),
                      strsignal(WTERMSIG(status)),
                      WTERMSIG(status) == SIGSYS ? ": the report made it try what it must not do" : "");
    else if (WEXITSTATUS(status) == 127)
        outcome_local(error_r, "4.3.0",
                      PROGRAM
                      " cannot be started: a library is missing; apt install libgmime-3.0-0 (elsewhere "
                      "gmime30), or the package anew");
    else if (WEXITSTATUS(status) != 0)
        outcome_local(error_r, "4.3.0", PROGRAM " ended with status %d; the log says why",
                      WEXITSTATUS(status));
    else
        return true;
    return false;
}

bool judge_finish(struct judge_process *process, struct judgement *judgement_r, struct outcome *error_r)
{
    AUTO_FREE char *text = xmalloc(JUDGEMENT_SIZE_MAX + 1);
    int64_t deadline_ms = clock_monotonic_ms() + TIME_MS;
    size_t length = 0;

    memset(judgement_r, 0, sizeof *judgement_r);
    bool in_time = read_all(process->output, deadline_ms, text, JUDGEMENT_SIZE_MAX + 1, &length);
    close(process->output); /* one that goes on talking hears of it */
    int status = wait_for_end(process->pid, in_time ? clock_monotonic_ms() + END_MS : 0);
    if (!ended_well(status, in_time, error_r))
        return false;
    return judgement_decode(text, length, judgement_r, error_r);
}
