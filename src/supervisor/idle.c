#include "supervisor/idle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_stamp.h"

#define READY 'R'
#define HERE 'H'         /* carries the descriptors */
#define PATIENCE_MS 1000 /* for a process of ours that is only too busy to be scheduled */
/* deliverers that were tried and said nothing: stopped, or this machine is that busy */
#define SILENT_MAX 2

extern char **environ;

/* --- the name -------------------------------------------------------------------------------- */

static void mix(uint64_t *key, const void *data, size_t length) /* FNV-1a */
{
    for (const unsigned char *at = data; length > 0; at++, length--)
        *key = (*key ^ *at) * 0x100000001b3;
}

bool idle_key(const char *program_path, const char *config_path, uint64_t *key_r)
{
    struct file_stamp program, config, mounts;
    uid_t users[] = {geteuid(), getegid()};
    uint64_t key = 0xcbf29ce484222325;

    if (!file_stamp_of(program_path, &program) || !file_stamp_of(config_path, &config) ||
        !file_stamp_of("/proc/self/ns/mnt", &mounts))
        return false;
    mix(&key, users, sizeof users);
    mix(&key, &mounts.inode, sizeof mounts.inode);
    mix(&key, &program, sizeof program);
    mix(&key, &config, sizeof config);
    mix(&key, config_path, strlen(config_path) + 1);
    for (char **variable = environ; *variable != NULL; variable++)
        mix(&key, *variable, strlen(*variable) + 1);
    *key_r = key;
    return true;
}

static socklen_t address_of(uint64_t key, unsigned slot, struct sockaddr_un *address_r)
{
    memset(address_r, 0, sizeof *address_r);
    address_r->sun_family = AF_UNIX;
    int length = snprintf(address_r->sun_path + 1, sizeof address_r->sun_path - 1,
                          "postfix-sendpost/%016llx/%u", (unsigned long long)key, slot);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
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
    char bytes[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr align;
};

static bool send_descriptors(int channel, int input, int output)
{
    char word = HERE;
    int descriptors[2] = {input, output};
    union ancillary ancillary = {0};
    struct iovec bytes = {.iov_base = &word, .iov_len = 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = ancillary.bytes,
                             .msg_controllen = sizeof ancillary.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptors);
    memcpy(CMSG_DATA(header), descriptors, sizeof descriptors);
    return sendmsg(channel, &message, MSG_NOSIGNAL) == 1;
}

static bool receive_descriptors(int channel, struct idle_visit *visit_r)
{
    char word = '\0';
    int descriptors[2];
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
        header->cmsg_len != CMSG_LEN(sizeof descriptors))
        /* one of our own user that is no supervisor: what it sent is lost with this process soon enough */
        return false;
    memcpy(descriptors, CMSG_DATA(header), sizeof descriptors);
    *visit_r = (struct idle_visit){channel, descriptors[0], descriptors[1]};
    return true;
}

/* --- the supervisor's side ------------------------------------------------------------------- */

/* 1: it is ours. 0: not to be had. -1: it is there, and says nothing. */
static int invite(int channel, pid_t *pid_r)
{
    char word;

    if (!peer_is_ours(channel, pid_r))
        return 0;
    if (!readable_in_time(channel))
        return -1;
    return recv(channel, &word, 1, MSG_DONTWAIT) == 1 && word == READY;
}

int idle_call(uint64_t key, int input, int output, pid_t *pid_r)
{
    int channel = -1, silent = 0;

    for (unsigned slot = 0; slot < IDLE_SLOTS && silent < SILENT_MAX; slot++) {
        struct sockaddr_un address;
        socklen_t length = address_of(key, slot, &address);

        if (channel < 0)
            channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (channel < 0)
            return -1;
        if (connect(channel, (struct sockaddr *)&address, length) != 0)
            continue; /* nobody, or somebody whom others are calling; the socket is as it was */
        int answer = invite(channel, pid_r);
        if (answer > 0 && send_descriptors(channel, input, output)) {
            fcntl(channel, F_SETFL, 0); /* only to connect it must not wait */
            return channel;
        }
        if (answer > 0)
            /* it died in this moment, as the machine's memory may be all used: no time for experiments */
            break;
        silent += answer < 0;
        close(channel);
        channel = -1;
    }
    if (channel >= 0)
        close(channel);
    return -1;
}

/* --- the deliverer's side -------------------------------------------------------------------- */

static int listen_somewhere(uint64_t key)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    for (unsigned slot = 0; listener >= 0 && slot < IDLE_SLOTS; slot++) {
        struct sockaddr_un address;
        socklen_t length = address_of(key, slot, &address);

        if (bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 0) == 0)
            return listener;
        if (errno != EADDRINUSE)
            break;
    }
    if (listener >= 0)
        close(listener);
    return -1;
}

static int accept_until(int listener, int64_t deadline_ms)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    int64_t left_ms;

    while ((left_ms = deadline_ms - clock_monotonic_ms()) > 0) {
        if (poll(&ready, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms) <= 0)
            continue;
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

bool idle_await(uint64_t key, int64_t deadline_ms, bool (*fit)(void *context), void *context,
                struct idle_visit *visit_r)
{
    for (;;) {
        int listener = listen_somewhere(key);
        if (listener < 0)
            return false;
        int channel = accept_until(listener, deadline_ms);
        close(listener); /* others who are calling hear of it at once, and look elsewhere */
        if (channel < 0)
            return false;
        if (!fit(context)) {
            close(channel);
            return false;
        }
        if (receive_visit(channel, visit_r))
            return true;
        close(channel);
    }
}
