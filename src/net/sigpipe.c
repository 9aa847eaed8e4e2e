#include "net/sigpipe.h"

#include <stdatomic.h>
#include <time.h>

static atomic_bool ignored;

void sigpipe_ignore(void)
{
    signal(SIGPIPE, SIG_IGN);
    ignored = true;
}

void sigpipe_hold(struct sigpipe_guard *guard)
{
    sigset_t set;

    guard->held = !ignored;
    if (!guard->held)
        return;

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

    if (!guard->held)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    if (!guard->was_pending)
        while (sigtimedwait(&set, NULL, &now) == SIGPIPE)
            ;
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}
