#include "net/sigpipe.h"

#include <time.h>

void sigpipe_hold(struct sigpipe_guard *guard)
{
    sigset_t set;

    sigpending(&set);
    guard->was_pending = sigismember(&set, SIGPIPE) == 1;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &guard->before);
}

void sigpipe_release(const struct sigpipe_guard *guard)
{
    const struct timespec now = {0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    if (!guard->was_pending)
        while (sigtimedwait(&set, NULL, &now) == SIGPIPE)
            ;
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}
