#include "relay/local_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Thread_local bool local_only;
static _Thread_local int local_stream = -1;

void local_connect_begin(int descriptor)
{
    local_only = true;
    local_stream = descriptor;
}

void local_connect_end(void)
{
    local_only = false;
    local_stream = -1;
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length)
{
    int stream = local_stream, flags;

    if (!local_only)
        return (int)syscall(SYS_connect, descriptor, address, length);
    local_stream = -1;
    if (stream < 0) {
        errno = ECONNREFUSED; /* what runs here never reaches the network */
        return -1;
    }
    /* the stream takes the place of the socket, blocking or not as that was */
    flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(stream, F_SETFL, flags) < 0)
        return -1;
    return dup3(stream, descriptor, O_CLOEXEC) < 0 ? -1 : 0;
}
