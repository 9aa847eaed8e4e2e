/* The supervisor's side of the meeting place. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/idle_private.h"

#define SPREAD 16    /* callers begin at so many places */
#define SILENT_MAX 2 /* that were tried and said nothing: stopped, or this machine is that busy */
/* While it waits, it asks whether that is still better than to start one: soon, as a rule it is not, and then
 * less and less often. */
#define ASK_FIRST_MS 3
#define ASK_NEXT_MS 16
#define ASK_MOST_MS 128

struct search {
    const struct idle_caller *caller;
    struct idle_names *names; /* as of the last look */
    int silent;               /* deliverers that were */
    struct idle_deliverer *deliverer;
};

static void close_both(struct idle_deliverer *deliverer)
{
    if (deliverer->channel >= 0)
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
static bool is_ready(struct search *search)
{
    struct idle_deliverer *deliverer = search->deliverer;
    char word = '\0';
    pid_t pid;

    if (idle_peer_is_ours(deliverer->channel, &pid) &&
        (deliverer->process = (int)syscall(SYS_pidfd_open, pid, 0)) >= 0) {
        bool spoke = idle_readable_in_time(deliverer->channel);
        search->silent += !spoke;
        if (spoke && recv(deliverer->channel, &word, 1, MSG_DONTWAIT) == 1 && word == IDLE_READY &&
            still_there(deliverer->channel))
            return true;
    }
    close_both(deliverer);
    return false;
}

/* --- those who are idle --------------------------------------------------------------------------- */

/* Ask one after the other, from a place on that is not everybody's: callers who all began with the first one
 * would crowd there. */
static bool ask_around(struct search *search, enum idle_kind kind)
{
    char prefix[IDLE_NAME_SIZE];
    size_t at = 0;
    int count = 0;

    idle_prefix(search->caller->key, kind, prefix);
    while (idle_names_next_of(search->names, prefix, &at) != NULL)
        count++;
    at = 0;
    for (int pass_by = count > 0 ? getpid() % (count < SPREAD ? count : SPREAD) : 0; pass_by > 0; pass_by--)
        idle_names_next_of(search->names, prefix, &at);
    for (int asked = 0; asked < count && search->silent < SILENT_MAX; asked++) {
        const char *name = idle_names_next_of(search->names, prefix, &at);
        if (name == NULL) { /* from the beginning */
            at = 0;
            name = idle_names_next_of(search->names, prefix, &at);
        }
        if (name != NULL && idle_connect(search->caller->place, name, &search->deliverer->channel) &&
            is_ready(search))
            return true;
    }
    return false;
}

static bool ask_all(struct search *search)
{
    return ask_around(search, IDLE_SOUGHT) || ask_around(search, IDLE_RESTS);
}

static bool look(struct search *search)
{
    idle_names_read(search->caller->place, search->names);
    return ask_all(search);
}

/* --- the queue ------------------------------------------------------------------------------------ */

static bool somebody_waits(const struct search *search)
{
    char prefix[IDLE_NAME_SIZE];
    size_t at = 0;

    idle_prefix(search->caller->key, IDLE_WAITS, prefix);
    return idle_names_next_of(search->names, prefix, &at) != NULL;
}

/* A deliverer that will be idle some time. What one that died left behind is removed. */
static bool somebody_works(const struct search *search)
{
    char prefix[IDLE_NAME_SIZE];
    const char *name;

    idle_prefix(search->caller->key, IDLE_WORKS, prefix);
    for (size_t at = 0; (name = idle_names_next_of(search->names, prefix, &at)) != NULL;) {
        if (kill((pid_t)idle_name_process(name), 0) == 0)
            return true;
        unlinkat(search->caller->place, name, 0);
    }
    return false;
}

enum visit { VISIT_NONE, VISIT_READY, VISIT_IN_VAIN };

/* Of a deliverer, within this time. */
static enum visit await_visit(struct search *search, int listener, int pause_ms)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    if (poll(&ready, 1, pause_ms) <= 0)
        return VISIT_NONE;
    close_both(search->deliverer); /* what the last try left for the next */
    search->deliverer->channel = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    return search->deliverer->channel >= 0 && is_ready(search) ? VISIT_READY : VISIT_IN_VAIN;
}

static bool wait_at(struct search *search, int listener, bool behind_others)
{
    const struct idle_caller *caller = search->caller;
    int64_t start_ms = clock_monotonic_ms();
    int pause_ms = ASK_FIRST_MS;
    bool in_vain = !somebody_works(search);
    enum visit visit;

    while ((visit = await_visit(search, listener, pause_ms)) == VISIT_NONE) {
        struct idle_wait wait = {clock_monotonic_ms() - start_ms, behind_others, in_vain};
        if (caller->enough(caller->context, &wait))
            return false;
        pause_ms = pause_ms < ASK_NEXT_MS ? ASK_NEXT_MS : pause_ms < ASK_MOST_MS ? pause_ms * 2 : ASK_MOST_MS;
    }
    /* who came in vain leaves, and one may be started instead of it; but it kept others from coming, who may
     * lie there now */
    return visit == VISIT_READY || look(search);
}

/* Those who lie down look for those who wait, and behind that nobody looks again: so who has got in line
 * looks for those who lie there once more. */
static bool queue_up(struct search *search, bool behind_others)
{
    char name[IDLE_NAME_SIZE];
    int place = search->caller->place;
    size_t length = idle_prefix(search->caller->key, IDLE_WAITS, name);

    snprintf(name + length, sizeof name - length, "%016llx-%ld", (unsigned long long)clock_monotonic_ms(),
             (long)getpid());
    int listener = idle_listen(place, name);
    if (listener < 0)
        return false;
    bool found = look(search) || wait_at(search, listener, behind_others);
    char at_work[IDLE_NAME_SIZE];
    idle_name_at_work(search->caller->key, at_work);
    if (found || renameat(place, name, place, at_work) != 0)
        unlinkat(place, name, 0);
    if (!found && await_visit(search, listener, 0) == VISIT_READY) { /* in the last moment */
        idle_end_work(place, search->caller->key);
        found = true;
    }
    close(listener); /* who is calling hears of it at once, and looks elsewhere */
    return found;
}

bool idle_call(const struct idle_caller *caller, struct idle_deliverer *deliverer_r)
{
    static struct idle_names names;
    struct search search = {.caller = caller, .names = &names, .deliverer = deliverer_r};

    *deliverer_r = (struct idle_deliverer){-1, -1};
    idle_names_read(caller->place, &names);
    bool others = somebody_waits(&search);
    bool found = (!others && ask_all(&search)) || queue_up(&search, others);
    /* one that dies in this moment may be a sign that the machine's memory is all used: no other is tried */
    if (found && idle_send_descriptors(deliverer_r->channel, caller->gifts)) {
        fcntl(deliverer_r->channel, F_SETFL, 0); /* only to connect it must not wait */
        return true;
    }
    close_both(deliverer_r);
    return false;
}
