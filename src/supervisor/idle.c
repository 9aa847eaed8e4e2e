#include "supervisor/idle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/processors.h"

#define READY 'R'
#define HERE 'H'         /* carries the descriptors */
#define PATIENCE_MS 1000 /* for a process of ours that is only too busy to be scheduled */
#define SPREAD 16        /* callers begin at so many places */
#define SILENT_MAX 2     /* that were tried and said nothing: stopped, or this machine is that busy */
/* One that has just told its result may not have run since: to look again costs less than a start. Where all
 * processors are taken, a start takes from those who will soon be idle, and is put off for a while, if there
 * are such: the place has changed lately. */
#define SECOND_LOOK_MS 3
#define LOOK_EVERY_MS 10
#define LOOK_MOST_MS 1000
#define LATELY_MS 2000

/* --- the place -------------------------------------------------------------------------------- */

/* Through the descriptor: the path may be longer than an address holds, and it stays the directory that was
 * looked at. */
static bool address_of(int place, const char *name, struct sockaddr_un *address_r)
{
    memset(address_r, 0, sizeof *address_r);
    address_r->sun_family = AF_UNIX;
    int length =
        snprintf(address_r->sun_path, sizeof address_r->sun_path, "/proc/self/fd/%d/%s", place, name);
    return length > 0 && (size_t)length < sizeof address_r->sun_path;
}

#define NAME_SIZE 48 /* KEY-PID; KEY+-PID where it is sought */

/* Up to the process id. */
static size_t prefix_of(uint64_t key, bool sought, char name_r[NAME_SIZE])
{
    return (size_t)snprintf(name_r, NAME_SIZE, "%016llx%s-", (unsigned long long)key, sought ? "+" : "");
}

static void name_of(uint64_t key, bool sought, pid_t process, char name_r[NAME_SIZE])
{
    size_t length = prefix_of(key, sought, name_r);

    snprintf(name_r + length, NAME_SIZE - length, "%ld", (long)process);
}

/* --- both sides ------------------------------------------------------------------------------ */

static bool peer_is_ours(int channel, pid_t *pid_r)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    *pid_r = peer.pid; /* 0 or less: in a process id namespace that we cannot see */
    return peer.uid == geteuid() && peer.pid > 0;
}

/* What is to be received next comes soon, or never. */
static bool readable_in_time(int channel)
{
    struct pollfd ready = {.fd = channel, .events = POLLIN};
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS, left_ms;
    int found = 0;

    while (found == 0 && (left_ms = until_ms - clock_monotonic_ms()) > 0) {
        found = poll(&ready, 1, (int)left_ms);
        if (found < 0 && errno == EINTR)
            found = 0;
    }
    return found > 0;
}

union ancillary {
    char bytes[CMSG_SPACE(IDLE_GIFTS * sizeof(int))];
    struct cmsghdr align;
};

static bool send_descriptors(int channel, const int gifts[IDLE_GIFTS])
{
    char word = HERE;
    union ancillary ancillary = {0};
    struct iovec bytes = {.iov_base = &word, .iov_len = 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = ancillary.bytes,
                             .msg_controllen = sizeof ancillary.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(IDLE_GIFTS * sizeof(int));
    memcpy(CMSG_DATA(header), gifts, IDLE_GIFTS * sizeof(int));
    return sendmsg(channel, &message, MSG_NOSIGNAL) == 1;
}

static bool receive_descriptors(int channel, struct idle_visit *visit_r)
{
    char word = '\0';
    union ancillary ancillary;
    struct iovec bytes = {.iov_base = &word, .iov_len = 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = ancillary.bytes,
                             .msg_controllen = sizeof ancillary.bytes};

    if (!readable_in_time(channel) || recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || word != HERE)
        return false;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof visit_r->gifts))
        /* one of our own user that is no supervisor: what it sent is lost with this process soon enough */
        return false;
    visit_r->channel = channel;
    memcpy(visit_r->gifts, CMSG_DATA(header), sizeof visit_r->gifts);
    return true;
}

/* --- the supervisor's side ------------------------------------------------------------------- */

enum answer { ANSWER_NO, ANSWER_READY, ANSWER_SILENT };

/* It spoke after its process was opened, and lives: so that is its process, and no later one of its number.
 */
static bool still_there(int channel)
{
    struct pollfd state = {.fd = channel};

    return poll(&state, 1, 0) == 0;
}

static enum answer invite(struct idle_deliverer *deliverer)
{
    char word;
    pid_t pid;

    if (!peer_is_ours(deliverer->channel, &pid) ||
        (deliverer->process = (int)syscall(SYS_pidfd_open, pid, 0)) < 0)
        return ANSWER_NO;
    if (!readable_in_time(deliverer->channel))
        return ANSWER_SILENT;
    return recv(deliverer->channel, &word, 1, MSG_DONTWAIT) == 1 && word == READY &&
                   still_there(deliverer->channel)
               ? ANSWER_READY
               : ANSWER_NO;
}

static void close_both(struct idle_deliverer *deliverer)
{
    if (deliverer->channel >= 0)
        close(deliverer->channel);
    if (deliverer->process >= 0)
        close(deliverer->process);
    *deliverer = (struct idle_deliverer){-1, -1};
}

static bool connect_to(int place, const char *name, struct idle_deliverer *deliverer)
{
    struct sockaddr_un address;

    if (deliverer->channel < 0)
        deliverer->channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (deliverer->channel < 0 || !address_of(place, name, &address))
        return false;
    if (connect(deliverer->channel, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    if (errno == ECONNREFUSED)
        unlinkat(place, name, 0);
    return false; /* nobody, or somebody whom others are calling; the socket is as it was */
}

/* The next one of the prefix, which *at is behind then. */
static const char *next_of(const struct idle_names *names, const char *prefix, size_t *at)
{
    const char *name;

    do
        name = idle_names_next(names, at);
    while (name != NULL && strncmp(name, prefix, strlen(prefix)) != 0);
    return name;
}

/* Ask one after the other, from a place on that is not everybody's: callers who all began with the first one
 * would crowd there. True with one that is ready. */
static bool ask_around(const struct idle_names *names, int place, const char *prefix, int *silent,
                       struct idle_deliverer *deliverer)
{
    size_t at = 0;
    int count = 0;

    while (next_of(names, prefix, &at) != NULL)
        count++;
    at = 0;
    for (int pass_by = count > 0 ? getpid() % (count < SPREAD ? count : SPREAD) : 0; pass_by > 0; pass_by--)
        next_of(names, prefix, &at);
    for (int asked = 0; asked < count && *silent < SILENT_MAX; asked++) {
        const char *name = next_of(names, prefix, &at);
        if (name == NULL) { /* from the beginning */
            at = 0;
            name = next_of(names, prefix, &at);
        }
        if (name == NULL || !connect_to(place, name, deliverer))
            continue;
        enum answer answer = invite(deliverer);
        if (answer == ANSWER_READY)
            return true;
        *silent += answer == ANSWER_SILENT;
        close_both(deliverer);
    }
    return false;
}

static bool ask_all(int place, uint64_t key, int *silent, struct idle_deliverer *deliverer)
{
    static struct idle_names names;
    char prefix[NAME_SIZE];

    idle_names_read(place, &names);
    prefix_of(key, true, prefix);
    if (ask_around(&names, place, prefix, silent, deliverer))
        return true;
    prefix_of(key, false, prefix);
    return ask_around(&names, place, prefix, silent, deliverer);
}

static bool has_changed_lately(int place)
{
    struct stat status;

    if (fstat(place, &status) != 0)
        return false;
    int64_t changed_ms = clock_ms(status.st_mtim);
    int64_t passed_ms = clock_realtime_ms() - changed_ms;
    return passed_ms > -LATELY_MS && passed_ms < LATELY_MS; /* the clock may have been set */
}

bool idle_call(int place, uint64_t key, const int gifts[IDLE_GIFTS], struct idle_deliverer *deliverer_r)
{
    *deliverer_r = (struct idle_deliverer){-1, -1};
    int silent = 0, waited_ms = 0;
    bool found = ask_all(place, key, &silent, deliverer_r);
    while (!found && (waited_ms == 0 ||
                      (waited_ms < LOOK_MOST_MS && has_changed_lately(place) && processors_are_taken()))) {
        int pause_ms = waited_ms == 0 ? SECOND_LOOK_MS : LOOK_EVERY_MS + getpid() % LOOK_EVERY_MS;
        poll(NULL, 0, pause_ms);
        waited_ms += pause_ms;
        found = ask_all(place, key, &silent, deliverer_r);
    }
    /* one that dies in this moment may be a sign that the machine's memory is all used: no other is tried */
    if (found && send_descriptors(deliverer_r->channel, gifts)) {
        fcntl(deliverer_r->channel, F_SETFL, 0); /* only to connect it must not wait */
        return true;
    }
    close_both(deliverer_r);
    futimens(place, NULL); /* who comes next may look for the one that is started now */
    return false;
}

/* --- the deliverer's side -------------------------------------------------------------------- */

/* How many there are. What one that died left behind is removed: of each of a few, of every so many of many.
 */
static unsigned count_others(int place, unsigned most)
{
    static struct idle_names names;
    const char *name;
    unsigned count = 0, chance = (unsigned)getpid();

    idle_names_read(place, &names);
    for (size_t at = 0; (name = idle_names_next(&names, &at)) != NULL;) {
        const char *dash = strchr(name, '-');
        long process = dash != NULL ? strtol(dash + 1, NULL, 10) : 0;
        if (process <= 0)
            continue;
        bool look = count < SPREAD || count + 1 >= most || (count + chance) % SPREAD == 0;
        if (look && kill((pid_t)process, 0) != 0 && errno == ESRCH)
            unlinkat(place, name, 0);
        else
            count++;
    }
    return count;
}

unsigned idle_most(uint64_t memory)
{
    uint64_t number = memory / 8 / IDLE_MEMORY;

    return number < IDLE_FEWEST ? IDLE_FEWEST : number > IDLE_MOST ? IDLE_MOST : (unsigned)number;
}

static unsigned most_here(void)
{
    struct sysinfo machine;

    return sysinfo(&machine) == 0 ? idle_most((uint64_t)machine.totalram * machine.mem_unit) : IDLE_FEWEST;
}

static int listen_at(int place, const char *name)
{
    struct sockaddr_un address;
    char before[NAME_SIZE];
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(before, sizeof before, "new-%ld", (long)getpid());
    unlinkat(place, before, 0); /* of one that had our number and died */
    if (listener >= 0 && address_of(place, before, &address) &&
        bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 0) == 0 &&
        renameat(place, before, place, name) == 0)
        return listener;
    unlinkat(place, before, 0);
    if (listener >= 0)
        close(listener);
    return -1;
}

static int accept_until(int listener, const struct idle_stay *stay)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    bool glances = stay->sought && stay->glance != NULL;
    int64_t left_ms;

    while ((left_ms = stay->deadline_ms - clock_monotonic_ms()) > 0) {
        int64_t most_ms = glances ? IDLE_GLANCE_MS : INT_MAX;
        if (poll(&ready, 1, (int)(left_ms < most_ms ? left_ms : most_ms)) <= 0) {
            if (glances)
                stay->glance(stay->context);
            continue;
        }
        int channel = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (channel >= 0)
            return channel;
    }
    return -1;
}

static bool receive_visit(int channel, struct idle_visit *visit_r)
{
    char word = READY;
    pid_t ignored;

    return peer_is_ours(channel, &ignored) && send(channel, &word, 1, MSG_NOSIGNAL) == 1 &&
           receive_descriptors(channel, visit_r);
}

bool idle_await(const struct idle_stay *stay, struct idle_visit *visit_r)
{
    char name[NAME_SIZE];

    name_of(stay->key, stay->sought, getpid(), name);
    unsigned most = most_here();
    if (count_others(stay->place, most) >= most)
        return false;
    for (;;) {
        int listener = listen_at(stay->place, name);
        if (listener < 0)
            return false;
        int channel = accept_until(listener, stay);
        unlinkat(stay->place, name, 0);
        close(listener); /* others who are calling hear of it at once, and look elsewhere */
        if (channel < 0)
            return false;
        if (!stay->fit(stay->context)) {
            close(channel);
            return false;
        }
        if (receive_visit(channel, visit_r))
            return true;
        close(channel);
    }
}
