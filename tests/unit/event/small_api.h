/* An event API in a thread: answers request after request with the given statuses, the last one for ever. */
#ifndef SENDPOST_SMALL_API_H
#define SENDPOST_SMALL_API_H

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct small_api {
    char url[64];
    int listener;
    const int *statuses; /* ended by 0 */
    atomic_int requests;
    char last_request[8192];
    pthread_t thread;
};

/* One request and its answer; false when there is none any more. */
static bool small_api_answer(struct small_api *api, int stream)
{
    char *head_end = NULL;
    size_t used = 0, wanted = 0;

    while (head_end == NULL || used < wanted) {
        ssize_t got = recv(stream, api->last_request + used, sizeof api->last_request - 1 - used, 0);
        if (got <= 0)
            return false;
        used += (size_t)got;
        api->last_request[used] = '\0';
        head_end = strstr(api->last_request, "\r\n\r\n");
        const char *length = strstr(api->last_request, "Content-Length: ");
        if (head_end != NULL)
            wanted = (size_t)(head_end + 4 - api->last_request) +
                     (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
    }
    int number = atomic_fetch_add(&api->requests, 1), last = 0;
    while (last < number && api->statuses[last + 1] != 0)
        last++;
    char text[128];
    int length =
        snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\nsaid", api->statuses[last]);
    return send(stream, text, (size_t)length, MSG_NOSIGNAL) == length;
}

static void *small_api_run(void *context)
{
    struct small_api *api = context;
    int stream;

    while ((stream = accept(api->listener, NULL, NULL)) >= 0) {
        while (small_api_answer(api, stream))
            ;
        close(stream);
    }
    return NULL;
}

static void small_api_start(struct small_api *api, const int *statuses)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    *api = (struct small_api){.listener = socket(AF_INET, SOCK_STREAM, 0), .statuses = statuses};
    ck_assert_int_eq(bind(api->listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(api->listener, 8), 0);
    ck_assert_int_eq(getsockname(api->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(api->url, sizeof api->url, "http://127.0.0.1:%u/events", ntohs(address.sin_port));
    ck_assert_int_eq(pthread_create(&api->thread, NULL, small_api_run, api), 0);
}

/* After the client has closed its connection. */
static void small_api_stop(struct small_api *api)
{
    shutdown(api->listener, SHUT_RDWR);
    pthread_join(api->thread, NULL);
    close(api->listener);
}

#endif
