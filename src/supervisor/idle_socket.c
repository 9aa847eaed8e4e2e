/* What both sides of the meeting place do: sockets and the descriptors that go over them. idle.h tells of it.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/idle_private.h"

#define HERE 'H'         /* carries the descriptors */
#define PATIENCE_MS 1000 /* for a process of ours that is only too busy to be scheduled */

/* --- sockets ---------------------------------------------------------------------------------- */

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

int idle_listen(int place, const char *name)
{
    struct sockaddr_un address;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (listener >= 0 && address_of(place, name, &address) &&
        bind(listener, (struct sockaddr *)&address, sizeof address) == 0) {
        if (listen(listener, 1) == 0)
            return listener;
        unlinkat(place, name, 0);
    }
    if (listener >= 0)
        close(listener);
    return -1;
}

int idle_connect(int place, const char *name)
{
    struct sockaddr_un address;
    int channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (channel >= 0 && address_of(place, name, &address) &&
        connect(channel, (struct sockaddr *)&address, sizeof address) == 0)
        return channel;
    if (channel >= 0 && errno == ECONNREFUSED)
        unlinkat(place, name, 0);
    if (channel >= 0)
        close(channel);
    return -1;
}

bool idle_peer_is_ours(int channel, pid_t *pid_r)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return false;
    *pid_r = peer.pid; /* 0 or less: in a process id namespace that we cannot see */
    return peer.uid == geteuid() && peer.pid > 0;
}

bool idle_readable_in_time(int channel)
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

bool idle_send_descriptors(int channel, const int gifts[IDLE_GIFTS])
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

bool idle_receive_descriptors(int channel, struct idle_visit *visit_r)
{
    char word = '\0';
    union ancillary ancillary;
    struct iovec bytes = {.iov_base = &word, .iov_len = 1};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = ancillary.bytes,
                             .msg_controllen = sizeof ancillary.bytes};

    if (!idle_readable_in_time(channel) || recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || word != HERE)
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

bool idle_descriptors_came_late(int channel)
{
    char word;

    shutdown(channel, SHUT_RD);
    return recv(channel, &word, 1, MSG_DONTWAIT | MSG_PEEK) == 1 && word == HERE;
}
