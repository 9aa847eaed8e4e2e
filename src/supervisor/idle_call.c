/* The supervisor's side of the meeting place. */
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/idle_private.h"

/* One of those who wait asks for all of them whether it is better to start another deliverer: soon, and then
 * again and again; the others see now and then whether anybody asks. */
#define ASK_FIRST_MS 3
#define ASK_AGAIN_MS 16
#define OTHERS_MS 256

struct search {
    const struct idle_caller *caller;
    int line, listener;
    struct idle_deliverer *deliverer;
};

static void close_both(struct idle_deliverer *deliverer)
{
    close(deliverer->channel);
    if (deliverer->process >= 0)
        close(deliverer->process);
    *deliverer = (struct idle_deliverer){-1, -1};
}

/* After its process was opened its end of the channel was: so that is its process, and no later one of its
 * number. */
static bool still_there(int channel)
{
    struct pollfd state = {.fd = channel};

    return poll(&state, 1, 0) == 0;
}

/* Whether who is at the other end is a deliverer that is ready; otherwise the channel is closed. */
static bool is_ready(struct idle_deliverer *deliverer)
{
    char word = '\0';
    pid_t pid;

    if (idle_peer_is_ours(deliverer->channel, &pid) &&
        (deliverer->process = (int)syscall(SYS_pidfd_open, pid, 0)) >= 0 &&
        idle_readable_in_time(deliverer->channel) && recv(deliverer->channel, &word, 1, MSG_DONTWAIT) == 1 &&
        word == IDLE_READY && still_there(deliverer->channel))
        return true;
    close_both(deliverer);
    return false;
}

enum visit { VISIT_NONE, VISIT_READY, VISIT_IN_VAIN };

/* Of a deliverer, within this time, or until the last one has gone. */
static enum visit await_visit(struct search *search, int pause_ms)
{
    struct pollfd watched[2] = {{.fd = search->listener, .events = POLLIN}, {.fd = search->line}};

    if (poll(watched, 2, pause_ms) <= 0 || watched[0].revents == 0)
        return VISIT_NONE;
    search->deliverer->channel = accept4(search->listener, NULL, NULL, SOCK_CLOEXEC);
    return search->deliverer->channel >= 0 && is_ready(search->deliverer) ? VISIT_READY : VISIT_IN_VAIN;
}

/* Who came in vain leaves, and one is started instead of it. */
static bool wait_for_visit(struct search *search)
{
    const struct idle_caller *caller = search->caller;
    struct idle_wait wait = {0};
    int64_t start_ms = clock_monotonic_ms();
    int pause_ms = ASK_FIRST_MS;
    enum visit visit;

    while ((visit = await_visit(search, pause_ms)) == VISIT_NONE) {
        wait.ms = clock_monotonic_ms() - start_ms;
        wait.asks = wait.asks || flock(search->line, LOCK_EX | LOCK_NB) == 0;
        bool deserted = idle_line_deserted(search->line);
        if ((deserted && wait.asks) || caller->enough(caller->context, &wait))
            return false;
        pause_ms = wait.asks ? ASK_AGAIN_MS : OTHERS_MS;
        if (deserted) /* whoever asks starts one in this moment */
            poll(NULL, 0, ASK_FIRST_MS);
    }
    return visit == VISIT_READY;
}

static bool wait_in_line(struct search *search)
{
    const struct idle_token token = idle_token_make();

    search->listener = idle_listen(search->caller->place, token.name);
    if (search->listener < 0)
        return false;
    bool found = write(search->line, &token, sizeof token) == sizeof token && wait_for_visit(search);
    unlinkat(search->caller->place, token.name, 0);
    if (!found && await_visit(search, 0) == VISIT_READY) /* in the last moment */
        found = true;
    close(search->listener); /* who is calling hears of it at once, and calls the next */
    return found;
}

static bool give(const struct search *search)
{
    /* one that dies in this moment may be a sign that the machine's memory is all used: no other is tried */
    bool given = idle_send_descriptors(search->deliverer->channel, search->caller->gifts);

    if (!given)
        close_both(search->deliverer);
    return given;
}

bool idle_call(const struct idle_caller *caller, struct idle_deliverer *deliverer_r, int *line_r)
{
    struct search search = {.caller = caller, .deliverer = deliverer_r};

    *line_r = -1;
    *deliverer_r = (struct idle_deliverer){-1, -1};
    search.line = idle_line_open(caller->place, caller->key, IDLE_CALLS);
    bool found = search.line >= 0 && wait_in_line(&search) && give(&search);
    if (!found)
        *line_r = idle_line_open(caller->place, caller->key, IDLE_ANSWERS);
    if (search.line >= 0)
        close(search.line); /* another asks from now on */
    return found;
}
