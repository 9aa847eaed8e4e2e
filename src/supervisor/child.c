#include "supervisor/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisor/idle.h"
#include "supervisor/patience.h"
#include "supervisor/request.h"
#include "supervisor/supervise.h"

extern char **environ;

/* It lies beside us, in the installed tree as in the build tree. */
static void path_of(const char *program, char *path_r, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path_r, size - 1);

    path_r[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path_r, '/');
    size_t room = slash == NULL ? 0 : size - (size_t)(slash + 1 - path_r);
    if (room <= strlen(program))
        snprintf(path_r, size, "%s/%s", PKGLIBEXECDIR, program);
    else
        snprintf(slash + 1, room, "%s", program);
}

static int spawn(struct child_process *process, const struct supervision *wish, const char *path,
                 const int output[2])
{
    char *arguments[] = {(char *)(uintptr_t)wish->program, NULL};
    int channel[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
        return errno;
    process->channel = channel[0];
    /* out of the way of what is put in its place below */
    int reader = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, READER_DESCRIPTOR + 1);
    if (reader < 0) {
        int error = errno;
        close(channel[1]);
        return error;
    }

    posix_spawn_file_actions_init(&actions);
    int child_stdout = wish->child_stdout >= 0 ? wish->child_stdout : output[1];
    posix_spawn_file_actions_adddup2(&actions, child_stdout, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, channel[1], REQUEST_DESCRIPTOR);
    posix_spawn_file_actions_adddup2(&actions, reader, READER_DESCRIPTOR);
    posix_spawnattr_init(&attributes);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(&process->pid, path, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(channel[1]);
    close(reader);
    return error;
}

static bool adopt(struct child_process *process, const struct supervision *wish, const char *path, int output)
{
    uint64_t key;

    if (wish->config_path == NULL || wish->child_stdout >= 0 || !idle_key(path, wish->config_path, &key))
        return false;
    int place = idle_place_open(IDLE_PLACES, false);
    if (place < 0)
        return false;
    struct patience patience = PATIENCE_BEGIN(place);
    const int gifts[IDLE_GIFTS] = {STDIN_FILENO, output, STDOUT_FILENO};
    const struct idle_caller caller = {place, key, gifts, patience_is_over, &patience};
    struct idle_deliverer deliverer;
    process->adopted = idle_call(&caller, &deliverer, &process->line);
    if (!process->adopted)
        patience_tell_start(place);
    close(place);
    process->channel = deliverer.channel;
    process->process = deliverer.process;
    return process->adopted;
}

/* What does not get it whole finds its end, and goes: nobody waits for an answer that cannot come. */
static void send_request(const struct child_process *process, const struct supervision *wish)
{
    const char *bytes = wish->frame;
    size_t left = wish->frame_length;

    while (left > 0) {
        ssize_t sent = send(process->channel, bytes, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0) {
            shutdown(process->channel, SHUT_WR);
            return;
        }
        bytes += sent;
        left -= (size_t)sent;
    }
}

int child_start(struct child_process *process_r, const struct supervision *wish, char *path_r,
                size_t path_size)
{
    int output[2], error = 0;

    path_of(wish->program, path_r, path_size);
    if (pipe2(output, O_CLOEXEC) < 0)
        return errno;
    *process_r = (struct child_process){.channel = -1, .output = output[0], .line = -1};
    if (!adopt(process_r, wish, path_r, output[1]))
        error = spawn(process_r, wish, path_r, output);
    close(output[1]);
    if (error == 0)
        send_request(process_r, wish);
    return error;
}

void child_end(struct child_process *process)
{
    if (process->line >= 0)
        close(process->line);
    process->line = -1;
}
