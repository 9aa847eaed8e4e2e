#include "supervisor/channel.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/xalloc.h"

static bool transfer(bool write_it, char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t done =
            write_it ? write(REQUEST_DESCRIPTOR, bytes, length) : read(REQUEST_DESCRIPTOR, bytes, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes += done;
        length -= (size_t)done;
    }
    return true;
}

bool channel_receive(struct delivery_request *request_r, char **payload_r)
{
    unsigned char length[4];

    if (!transfer(false, (char *)length, sizeof length))
        return false;
    size_t payload = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];
    if (payload > REQUEST_FRAME_MAX)
        return false;
    *payload_r = xmalloc(payload);
    return transfer(false, *payload_r, payload) && request_decode(*payload_r, payload, request_r);
}

bool channel_is_awaited(void)
{
    /* a pipe without reader: POLLERR; a socket or terminal without other end: POLLHUP */
    struct pollfd ends[] = {{.fd = REQUEST_DESCRIPTOR}, {.fd = READER_DESCRIPTOR}};
    int found;

    do
        found = poll(ends, 2, 0);
    while (found < 0 && errno == EINTR);
    return found == 0; /* what cannot be asked is not known to be whole */
}

void channel_stop_looking(void)
{
    /* its number stays taken: nothing that comes later is mistaken for it */
    dup2(STDERR_FILENO, READER_DESCRIPTOR);
}

void channel_send(const struct delivery_result *result)
{
    AUTO_FREE char *frame = NULL;
    size_t length = result_encode(result, &frame);

    if (length > 0)
        transfer(true, frame, length);
}
