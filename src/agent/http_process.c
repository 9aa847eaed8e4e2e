#include "agent/http_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/http_listen.h"
#include "agent/http_server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define LISTEN_AGAIN_MS 5000
#define AGAIN_MS 1000 /* after a server has died */
#define TICK_S 1

struct http_process {
    pid_t keeper;
    int line; /* a byte on it: listen; its end: the agent is gone */
};

/* --- server and keeper -------------------------------------------------------------------------- */

/* What a forked process begins with: it ends with its parent, and signals are its own. */
static void settle(pid_t parent)
{
    sigset_t none;

    signal(SIGHUP, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    prctl(PR_SET_NAME, "sendpost-page");
}

/* alive: closed by the end of this process, and by nothing else. */
static void serve(const struct config *config, struct board *board, int descriptor)
{
    struct outcome error;

    struct http_server *http = http_server_start(config, board, descriptor, &error);
    if (http == NULL) {
        log_line(LOG_ERR, "%s", error.text);
        _exit(EXIT_FAILURE);
    }
    for (;;) {
        sleep(TICK_S);
        http_server_tick(http);
    }
}

/* True: it was told to stop. */
static bool rest(int line, int milliseconds)
{
    struct pollfd wait = {.fd = line, .events = POLLIN};

    return poll(&wait, 1, milliseconds) > 0;
}

/* Until the agent is gone, or the server. */
static void watch(int line, int server)
{
    struct pollfd waits[] = {{.fd = line, .events = POLLIN}, {.fd = server, .events = POLLIN}};

    while (poll(waits, 2, -1) < 0 && errno == EINTR)
        ;
}

static pid_t start_server(const struct config *config, struct board *board, int descriptor, int line,
                          int *alive_r)
{
    int ends[2];
    pid_t keeper = getpid();

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t server = fork();
    if (server == 0) {
        close(line);
        close(ends[0]);
        settle(keeper);
        serve(config, board, descriptor);
    }
    close(ends[1]);
    *alive_r = ends[0];
    if (server < 0)
        close(ends[0]);
    return server;
}

static void keep_serving(const struct config *config, struct board *board, int descriptor, int line)
{
    do {
        int alive, status = 0;
        pid_t server = start_server(config, board, descriptor, line, &alive);
        if (server < 0) {
            log_line(LOG_ERR, "cannot start the process that answers on %s: %s", config->listen,
                     strerror(errno));
            continue;
        }
        watch(line, alive);
        close(alive);
        kill(server, SIGKILL);
        waitpid(server, &status, 0);
        if (!rest(line, 0))
            log_line(LOG_ERR, "the process that answered on %s has ended (%s %d), and is started again",
                     config->listen, WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    } while (!rest(line, AGAIN_MS));
}

/* A port that somebody else has is no reason not to report. */
static void keep(const struct config *config, struct board *board, int line)
{
    struct outcome error;
    bool told = false;
    int descriptor;
    char byte;

    if (read(line, &byte, 1) != 1)
        return;
    while ((descriptor = http_listen_at(config->listen, &error)) < 0) {
        if (!told)
            log_line(LOG_ERR, "%s; all else goes on, and it is tried again every %d s", error.text,
                     LISTEN_AGAIN_MS / 1000);
        told = true;
        if (rest(line, LISTEN_AGAIN_MS))
            return;
    }
    if (told)
        log_line(LOG_INFO, "listening on %s now", config->listen);
    keep_serving(config, board, descriptor, line);
    http_listen_end(config->listen);
}

/* --- the agent's side ----------------------------------------------------------------------------- */

struct http_process *http_process_start(const struct config *config, struct board *board)
{
    pid_t agent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        log_line(LOG_ERR, "nothing is served on %s: %s", config->listen, strerror(errno));
        return NULL;
    }
    pid_t keeper = fork();
    if (keeper == 0) {
        close(ends[1]);
        settle(agent);
        keep(config, board, ends[0]);
        _exit(EXIT_SUCCESS);
    }
    close(ends[0]);
    if (keeper < 0) {
        log_line(LOG_ERR, "nothing is served on %s: %s", config->listen, strerror(errno));
        close(ends[1]);
        return NULL;
    }
    struct http_process *process = xcalloc(1, sizeof *process);
    *process = (struct http_process){.keeper = keeper, .line = ends[1]};
    return process;
}

void http_process_listen(struct http_process *process)
{
    /* SIGPIPE is ignored: a keeper that is gone is no reason to stop */
    if (process != NULL && write(process->line, "", 1) != 1)
        log_line(LOG_ERR, "nothing is served: the keeper is gone");
}

void http_process_stop(struct http_process *process)
{
    if (process == NULL)
        return;
    close(process->line);
    while (waitpid(process->keeper, NULL, 0) < 0 && errno == EINTR)
        ;
    free(process);
}
