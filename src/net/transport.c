#include "net/transport.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"

void transport_init(struct transport *transport)
{
    *transport = (struct transport){.descriptor = -1};
}

/* What the other side, or the way to it, can do to a connection. All else is want of something here: a route,
 * a network, a local port, a descriptor, memory, a firewall's leave. */
static bool comes_from_afar(int error)
{
    return error == ECONNREFUSED || error == ECONNRESET || error == ECONNABORTED || error == EPIPE ||
           error == ETIMEDOUT || error == EPROTO;
}

static enum transport_status fail(struct transport *transport, const char *doing, int error)
{
    char buffer[96];

    if (error == ECONNRESET || error == EPIPE) {
        snprintf(transport->error, sizeof transport->error, "connection lost");
        return TRANSPORT_CLOSED;
    }
    snprintf(transport->error, sizeof transport->error, "%s: %s", doing,
             strerror_r(error, buffer, sizeof buffer));
    return comes_from_afar(error) ? TRANSPORT_FAILED : TRANSPORT_OURS;
}

static enum transport_status closed(struct transport *transport)
{
    snprintf(transport->error, sizeof transport->error, "connection closed by the server");
    return TRANSPORT_CLOSED;
}

static enum transport_status wait_for(struct transport *transport, short events, int64_t deadline_ms)
{
    int one = 1;

    /* A TLS 1.3 server sends its tickets, and its Nagle then holds back the reply that we wait for until they
     * are acknowledged: 40 ms, unless we do so at once. The option lasts for a moment only. */
    if (transport->ssl != NULL && events == POLLIN && clock_monotonic_ms() < deadline_ms)
        setsockopt(transport->descriptor, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    for (;;) {
        struct pollfd poll_descriptor = {.fd = transport->descriptor, .events = events};
        int64_t left = deadline_ms - clock_monotonic_ms();
        int ready;

        if (left <= 0)
            break;
        ready = poll(&poll_descriptor, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (ready > 0)
            return TRANSPORT_OK;
        if (ready < 0 && errno != EINTR && errno != EAGAIN)
            return fail(transport, "poll", errno);
    }
    snprintf(transport->error, sizeof transport->error, "no answer in time");
    return TRANSPORT_TIMEOUT;
}

enum transport_status transport_connect(struct transport *transport, const struct dns_address *address,
                                        int64_t deadline_ms)
{
    enum transport_status status;
    int one = 1, error = 0;
    socklen_t error_size = sizeof error;
    int descriptor = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (descriptor < 0)
        return fail(transport, "cannot open a socket", errno);
    transport->descriptor = descriptor;
    /* commands and the end of a message are small writes that must not wait for an acknowledgement */
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(descriptor, (const struct sockaddr *)&address->address, address->length) == 0)
        return TRANSPORT_OK;
    error = errno;
    if (error == EINPROGRESS || error == EINTR) {
        status = wait_for(transport, POLLOUT, deadline_ms);
        if (status != TRANSPORT_OK) {
            transport_close(transport);
            return status;
        }
        if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &error_size) < 0)
            error = errno;
    }
    if (error == 0)
        return TRANSPORT_OK;
    transport_close(transport);
    if (error == ECONNREFUSED)
        snprintf(transport->error, sizeof transport->error, "Connection refused");
    else if (error != ETIMEDOUT)
        return fail(transport, "cannot connect", error);
    return error == ETIMEDOUT ? TRANSPORT_TIMEOUT : TRANSPORT_FAILED;
}

enum transport_status transport_tls_result(struct transport *transport, int result, int64_t deadline_ms)
{
    int saved = errno;
    int ssl_error = SSL_get_error(transport->ssl, result);
    unsigned long code = ERR_peek_last_error();

    switch (ssl_error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return wait_for(transport, ssl_error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN, deadline_ms);
    case SSL_ERROR_ZERO_RETURN:
        return closed(transport);
    case SSL_ERROR_SYSCALL:
        return saved == 0 ? closed(transport) : fail(transport, "TLS", saved);
    default:
        if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return closed(transport);
        snprintf(transport->error, sizeof transport->error, "TLS error: %s",
                 ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code) : "unknown");
        return TRANSPORT_FAILED;
    }
}

/* What is read next answers what was just sent, and is not there yet: to wait first spares the call that
 * would only say so. Not where OpenSSL has bytes already, nor where nobody waits. */
static bool is_awaited(const struct transport *transport, int64_t deadline_ms)
{
    return transport->ssl != NULL && SSL_has_pending(transport->ssl) == 0 &&
           clock_monotonic_ms() < deadline_ms;
}

enum transport_status transport_fill(struct transport *transport, int64_t deadline_ms)
{
    enum transport_status status;

    if (transport->in == NULL)
        transport->in = xmalloc(TRANSPORT_IN_SIZE);
    transport->in_start = transport->in_end = 0;
    if (is_awaited(transport, deadline_ms) &&
        (status = wait_for(transport, POLLIN, deadline_ms)) != TRANSPORT_OK)
        return status;
    for (;;) {
        ssize_t got;

        if (transport->ssl != NULL) {
            ERR_clear_error();
            errno = 0;
            got = SSL_read(transport->ssl, transport->in, TRANSPORT_IN_SIZE);
            status = got > 0 ? TRANSPORT_OK : transport_tls_result(transport, (int)got, deadline_ms);
        } else {
            got = recv(transport->descriptor, transport->in, TRANSPORT_IN_SIZE, 0);
            if (got > 0)
                status = TRANSPORT_OK;
            else if (got == 0)
                status = closed(transport);
            else if (errno == EINTR || errno == EAGAIN)
                status = wait_for(transport, POLLIN, deadline_ms);
            else
                status = fail(transport, "cannot receive", errno);
        }
        if (got > 0)
            transport->in_end = (size_t)got;
        if (got > 0 || status != TRANSPORT_OK)
            return status;
        if (clock_monotonic_ms() >= deadline_ms) {
            /* bytes came, but no whole TLS record */
            snprintf(transport->error, sizeof transport->error, "no answer in time");
            return TRANSPORT_TIMEOUT;
        }
    }
}

enum transport_status transport_write(struct transport *transport, const char *data, size_t length,
                                      int64_t deadline_ms)
{
    while (length > 0) {
        enum transport_status status = TRANSPORT_OK;
        ssize_t sent;

        if (transport->ssl != NULL) {
            ERR_clear_error();
            errno = 0;
            sent = SSL_write(transport->ssl, data, length > INT_MAX ? INT_MAX : (int)length);
            if (sent <= 0)
                status = transport_tls_result(transport, (int)sent, deadline_ms);
        } else {
            sent = send(transport->descriptor, data, length, MSG_NOSIGNAL);
            if (sent < 0 && (errno == EAGAIN || errno == EINTR))
                status = wait_for(transport, POLLOUT, deadline_ms);
            else if (sent < 0)
                status = fail(transport, "cannot send", errno);
        }
        if (status != TRANSPORT_OK)
            return status;
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        }
        if (length > 0 && clock_monotonic_ms() >= deadline_ms) {
            /* a peer that takes a few bytes at a time */
            snprintf(transport->error, sizeof transport->error, "no progress in time");
            return TRANSPORT_TIMEOUT;
        }
    }
    return TRANSPORT_OK;
}

bool transport_has_input(struct transport *transport)
{
    if (transport->in_start < transport->in_end)
        return true;
    /* a deadline in the past: look, but do not wait. End of file counts as input: there is something to
     * see. */
    return transport_fill(transport, 0) != TRANSPORT_TIMEOUT;
}

/* --- what the peer has received --------------------------------------------------------------- */

/* TLS may write by itself (an answer to a request for new keys, an alert): such bytes do not count. */
static uint64_t written(const struct transport *transport)
{
    return transport->ssl != NULL ? BIO_number_written(SSL_get_wbio(transport->ssl)) : 0;
}

void transport_mark(struct transport *transport)
{
    transport->marked = written(transport);
}

/*
 * Linux takes data and acknowledgement of a segment under one lock, which recv() needs, too: no data without
 * their acknowledgement. Plain TCP alone has this order.
 */
static bool is_acknowledged(const struct transport *transport)
{
    uint64_t since = written(transport) - transport->marked;
    int waiting = 0, protocol = 0;
    socklen_t size = sizeof protocol;

    return ioctl(transport->descriptor, SIOCOUTQ, &waiting) < 0 || waiting < 0 ||
           (uint64_t)waiting <= since ||
           getsockopt(transport->descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0 ||
           protocol != IPPROTO_TCP;
}

bool transport_mark_acknowledged(const struct transport *transport)
{
    /* kernels that only look like Linux may have no such lock: they get a moment to catch up */
    const struct timespec moment = {.tv_nsec = 2000000};

    if (is_acknowledged(transport))
        return true;
    nanosleep(&moment, NULL);
    return is_acknowledged(transport);
}

void transport_close(struct transport *transport)
{
    if (transport->ssl != NULL) {
        if (SSL_is_init_finished(transport->ssl)) {
            ERR_clear_error();
            SSL_shutdown(transport->ssl);
        }
        SSL_free(transport->ssl);
        ERR_clear_error();
        transport->ssl = NULL;
    }
    if (transport->descriptor >= 0)
        close(transport->descriptor);
    transport->descriptor = -1;
    free(transport->in);
    transport->in = NULL;
    transport->in_start = transport->in_end = 0;
}
