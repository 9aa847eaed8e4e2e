#include "ctl/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static volatile sig_atomic_t ended, resized, suspended;
static sigset_t before; /* what was blocked */

static void note(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else if (number == SIGTSTP)
        suspended = 1;
    else
        ended = 1;
}

void follow_begin(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
    struct sigaction action = {.sa_handler = note};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction now;
        sigaction(signals[i], NULL, &now);
        if (now.sa_handler == SIG_IGN) /* nohup, or a shell without job control */
            continue;
        sigaction(signals[i], &action, NULL);
        sigaddset(&set, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &set, &before);
    signal(SIGPIPE, SIG_IGN);
}

static bool is_read_no_more(const struct pollfd *out)
{
    return (out->revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 || ferror(stdout);
}

enum follow_news follow_wait(int64_t ms, bool keys)
{
    int64_t until_ms = clock_monotonic_ms() + ms;
    struct pollfd watched[] = {{.fd = STDOUT_FILENO}, {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN}};

    fflush(stdout);
    for (;;) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms < 0)
            left_ms = 0;
        struct timespec left = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        int ready = ppoll(watched, 2, &left, &before);
        if (ended || (ready < 0 && errno != EINTR) || (ready > 0 && is_read_no_more(&watched[0])) ||
            ferror(stdout))
            return FOLLOW_END;
        if (suspended) {
            suspended = 0;
            return FOLLOW_SUSPEND;
        }
        if (resized) {
            resized = 0;
            return FOLLOW_SIZE;
        }
        if (ready > 0 && watched[1].revents != 0)
            return (watched[1].revents & POLLIN) != 0 ? FOLLOW_KEY : FOLLOW_END;
        if (ready == 0)
            return FOLLOW_TIME;
    }
}

void follow_stop(void)
{
    raise(SIGSTOP);
}

void follow_end(void)
{
    fflush(stdout);
    if (!ferror(stdout))
        return;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) {
        dup2(nowhere, STDOUT_FILENO);
        close(nowhere);
    }
    __fpurge(stdout);
    clearerr(stdout);
}
