/*
 * delay_proxy: a relay that makes loopback as far away as a real server.
 *
 *     delay_proxy ROUND_TRIP_MS LISTEN_PORT TARGET_PORT [LISTEN_PORT TARGET_PORT]...
 *
 * Every byte is delayed by half the round trip, each way, and the first bytes of a connection by a whole one
 * more, which is what setting it up takes (the kernel completes the connection to us at once). So is the end
 * of a stream. Bandwidth is not limited. One thread, 127.0.0.1 alone, until its standard input is closed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (size_t)65536
#define IN_FLIGHT_MAX (size_t)(4 << 20) /* of one direction: what the window of a tuned connection holds */

/* Bytes on their way, in a queue ordered by arrival, which is the order of the time at which they are due. */
struct flight {
    struct flight *next;
    int64_t due_us;
    size_t length, sent; /* no length: the end of the stream */
    char bytes[];
};

struct connection;

struct direction {
    struct connection *connection;
    int from, to;
    struct flight *first, **end;
    size_t in_flight;
    bool readable, from_ended, blocked;
};

struct connection {
    struct connection *next, *previous;
    int64_t not_before_us;
    struct direction there, back;
    bool broken;
};

struct listener {
    int descriptor;
    uint16_t target;
};

static struct connection connections; /* a ring's anchor */
static int64_t half_us;
static int poller;

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void watch(int descriptor, uint32_t events, void *what)
{
    struct epoll_event event = {.events = events, .data.ptr = what};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0)
        die("epoll_ctl");
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0 || listen(descriptor, 1024) != 0)
        die("listen");
    return descriptor;
}

static void direction_open(struct direction *direction, struct connection *connection, int from, int to)
{
    *direction = (struct direction){.connection = connection, .from = from, .to = to};
    direction->end = &direction->first;
}

static void accept_one(const struct listener *listener)
{
    struct sockaddr_in target = loopback(listener->target);
    int client = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;

    if (client < 0)
        return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(server, (struct sockaddr *)&target, sizeof target) != 0) {
        close(server);
        close(client);
        return;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        die("calloc");
    direction_open(&connection->there, connection, client, server);
    direction_open(&connection->back, connection, server, client);
    connection->not_before_us = now_us() + 3 * half_us;
    connection->next = connections.next;
    connection->previous = &connections;
    connection->next->previous = connection->previous->next = connection;
    /* edge-triggered: what stays in the socket because too much is in flight stays readable */
    watch(client, EPOLLIN | EPOLLOUT | EPOLLET, &connection->there);
    watch(server, EPOLLIN | EPOLLOUT | EPOLLET, &connection->back);
}

static void direction_free(struct direction *direction)
{
    while (direction->first != NULL) {
        struct flight *flight = direction->first;
        direction->first = flight->next;
        free(flight);
    }
}

static void connection_free(struct connection *connection)
{
    close(connection->there.from);
    close(connection->back.from);
    direction_free(&connection->there);
    direction_free(&connection->back);
    connection->next->previous = connection->previous;
    connection->previous->next = connection->next;
    free(connection);
}

/* Take off what has arrived. */
static void take(struct direction *direction, int64_t now)
{
    static char bytes[CHUNK];

    while (direction->readable && !direction->from_ended && direction->in_flight < IN_FLIGHT_MAX) {
        ssize_t got = read(direction->from, bytes, sizeof bytes);
        if (got < 0 && errno == EAGAIN) {
            direction->readable = false;
            return;
        }
        size_t length = got > 0 ? (size_t)got : 0;
        struct flight *flight = malloc(sizeof *flight + length);
        if (flight == NULL)
            die("malloc");
        int64_t due_us = now + half_us;
        if (due_us < direction->connection->not_before_us)
            due_us = direction->connection->not_before_us;
        *flight = (struct flight){.due_us = due_us, .length = length};
        memcpy(flight->bytes, bytes, length);
        *direction->end = flight;
        direction->end = &flight->next;
        direction->in_flight += length;
        direction->from_ended = length == 0;
        direction->readable = length == sizeof bytes; /* less: nothing is left */
    }
}

/* Hand over what is due. Returns when the next is, or INT64_MAX. */
static int64_t hand_over(struct direction *direction, int64_t now)
{
    while (direction->first != NULL && !direction->blocked) {
        struct flight *flight = direction->first;
        if (flight->due_us > now)
            return flight->due_us;
        if (flight->length == 0) {
            shutdown(direction->to, SHUT_WR);
        } else {
            ssize_t sent = send(direction->to, flight->bytes + flight->sent, flight->length - flight->sent,
                                MSG_NOSIGNAL);
            if (sent < 0 && errno == EAGAIN)
                direction->blocked = true;
            else if (sent < 0)
                direction->connection->broken = true;
            if (sent < 0)
                return INT64_MAX;
            flight->sent += (size_t)sent;
            if (flight->sent < flight->length)
                continue;
        }
        direction->in_flight -= flight->length;
        direction->first = flight->next;
        if (direction->first == NULL)
            direction->end = &direction->first;
        free(flight);
    }
    return INT64_MAX;
}

static bool over(const struct connection *connection)
{
    return connection->broken || (connection->there.from_ended && connection->back.from_ended &&
                                  connection->there.first == NULL && connection->back.first == NULL);
}

/* Everything that is due now. Returns when the next is. */
static int64_t turn(void)
{
    int64_t next_us = INT64_MAX, now = now_us();

    for (struct connection *connection = connections.next, *after; connection != &connections;
         connection = after) {
        struct direction *each[] = {&connection->there, &connection->back};

        after = connection->next;
        for (int i = 0; i < 2; i++) {
            int64_t due_us = hand_over(each[i], now);
            take(each[i], now);
            if (each[i]->first != NULL && !each[i]->blocked && due_us == INT64_MAX)
                due_us = each[i]->first->due_us;
            if (due_us < next_us)
                next_us = due_us;
        }
        if (over(connection))
            connection_free(connection);
    }
    return next_us;
}

static void on_event(const struct epoll_event *event, const struct listener *listeners, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (event->data.ptr == &listeners[i]) {
            accept_one(&listeners[i]);
            return;
        }
    struct direction *direction = event->data.ptr;
    struct connection *connection = direction->connection;
    struct direction *other = direction == &connection->there ? &connection->back : &connection->there;
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        direction->readable = true;
    if (event->events & EPOLLOUT)
        other->blocked = false;
    if (event->events & EPOLLERR)
        connection->broken = true;
}

static int serve(const struct listener *listeners, size_t count)
{
    struct epoll_event events[256];
    int64_t next_us = INT64_MAX;

    for (;;) {
        int64_t wait_us = next_us == INT64_MAX ? -1 : next_us - now_us();
        struct timespec timeout = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
        if (next_us != INT64_MAX && wait_us < 0)
            timeout = (struct timespec){0, 0};
        int found = epoll_pwait2(poller, events, 256, next_us == INT64_MAX ? NULL : &timeout, NULL);
        for (int i = 0; i < found; i++) {
            if (events[i].data.ptr == NULL)
                return EXIT_SUCCESS; /* our parent is gone */
            on_event(&events[i], listeners, count);
        }
        next_us = turn();
    }
}

int main(int argc, char **argv)
{
    static struct listener listeners[8];
    struct rlimit files = {65536, 65536};
    size_t count = 0;

    if (argc < 4 || argc % 2 != 0 || argc > 18) {
        fputs("usage: delay_proxy ROUND_TRIP_MS LISTEN_PORT TARGET_PORT [LISTEN_PORT TARGET_PORT]...\n",
              stderr);
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_NOFILE, &files);
    half_us = strtol(argv[1], NULL, 10) * 1000 / 2;
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections.next = connections.previous = &connections;
    for (int i = 2; i + 1 < argc; i += 2, count++) {
        listeners[count].descriptor = listen_on((uint16_t)strtol(argv[i], NULL, 10));
        listeners[count].target = (uint16_t)strtol(argv[i + 1], NULL, 10);
        watch(listeners[count].descriptor, EPOLLIN, &listeners[count]);
    }
    watch(STDIN_FILENO, EPOLLHUP, NULL);
    return serve(listeners, count);
}
