/*
 * sigpipe: a server that went away must not take us along: OpenSSL writes without MSG_NOSIGNAL. Between hold
 * and release SIGPIPE is blocked in this thread, and one that came meanwhile is taken away; whoever called us
 * keeps its own arrangement. A process that ignores SIGPIPE once and for all says so, and spares each guard
 * its four system calls.
 */
#ifndef SENDPOST_NET_SIGPIPE_H
#define SENDPOST_NET_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>

struct sigpipe_guard {
    bool held; /* there is something to release */
    bool was_pending;
    sigset_t before;
};

/* From here on, in the whole process; nobody in it sets another action. */
void sigpipe_ignore(void);

void sigpipe_hold(struct sigpipe_guard *guard) __attribute__((nonnull));
void sigpipe_release(const struct sigpipe_guard *guard) __attribute__((nonnull));

#endif
