#include "agent/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/metrics.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define CONNECTIONS 32
#define SILENCE_S 10
#define LIFE_MS 30000
#define MEMORY_PER_CONNECTION (32 * 1024)

struct connection {
    int descriptor; /* -1: free */
    int64_t since_ms;
};

struct http {
    struct MHD_Daemon *daemon;
    const struct config *config;
    struct board *board;
    pthread_mutex_t lock;
    struct connection connections[CONNECTIONS];
};

/* --- answers -------------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              char *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);

    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_error(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return answer(connection, status, "application/json", xasprintf("{\"error\":\"%s\"}\n", text));
}

static enum MHD_Result answer_get(struct http *http, struct MHD_Connection *connection, const char *path)
{
    struct board_facts facts;
    bool healthy = true;

    board_read(http->board, &facts);
    if (strcmp(path, "/metrics") == 0)
        return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                      metrics_prometheus(&facts));
    char *body = metrics_health(&facts, &healthy);
    return answer(connection, healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json", body);
}

/* libmicrohttpd calls once with the header, then with each part of the body, then without: the last is answered. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    static char seen;
    struct http *http = context;

    (void)version;
    (void)upload;
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) { /* nobody asked for it */
        *upload_size = 0;
        return MHD_YES;
    }
    bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    if (strcmp(path, "/health") != 0 && strcmp(path, "/metrics") != 0)
        return answer_error(connection, MHD_HTTP_NOT_FOUND, "there is /health and /metrics here");
    return get ? answer_get(http, connection, path)
               : answer_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
}

/* --- connections ---------------------------------------------------------------------------------- */

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    int wanted = code == MHD_CONNECTION_NOTIFY_STARTED ? -1 : info != NULL ? info->connect_fd : -2;

    (void)socket_context;
    pthread_mutex_lock(&http->lock);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (http->connections[i].descriptor != wanted)
            continue;
        http->connections[i] =
            (struct connection){.descriptor = wanted == -1 && info != NULL ? info->connect_fd : -1,
                                .since_ms = clock_monotonic_ms()};
        break;
    }
    pthread_mutex_unlock(&http->lock);
}

/* libmicrohttpd's own timeout starts anew with each byte. */
void http_tick(struct http *http)
{
    if (http == NULL)
        return;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&http->lock);
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (http->connections[i].descriptor >= 0 && now_ms > http->connections[i].since_ms + LIFE_MS)
            shutdown(http->connections[i].descriptor, SHUT_RDWR);
    pthread_mutex_unlock(&http->lock);
}

/* --- start and stop ------------------------------------------------------------------------------- */

/* "127.0.0.1:9113", "[::1]:9113" */
static struct addrinfo *address_of(const char *listen_on, const char **why_r)
{
    const char *colon = strrchr(listen_on, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *address = NULL;

    *why_r = "it is not ADDRESS:PORT";
    if (colon == NULL)
        return NULL;
    size_t length = (size_t)(colon - listen_on);
    bool bracketed = length >= 2 && listen_on[0] == '[' && colon[-1] == ']';
    AUTO_FREE char *host = bracketed ? xstrndup(listen_on + 1, length - 2) : xstrndup(listen_on, length);
    int result =
        getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, colon + 1, &hints, &address);
    if (result != 0)
        *why_r = gai_strerror(result);
    return address;
}

static int listen_at(const char *listen_on, struct outcome *error_r)
{
    const char *why;
    struct addrinfo *address = address_of(listen_on, &why);
    int one = 1, descriptor = -1;

    if (address != NULL) {
        descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
            bind(descriptor, address->ai_addr, address->ai_addrlen) != 0 ||
            listen(descriptor, CONNECTIONS) != 0) {
            why = strerror(errno);
            if (descriptor >= 0)
                close(descriptor);
            descriptor = -1;
        }
        freeaddrinfo(address);
    }
    if (descriptor < 0)
        outcome_local(error_r, "4.3.5", "cannot listen on %s: %s; correct listen, or set it to 'none'",
                      listen_on, why);
    return descriptor;
}

struct http *http_start(const struct config *config, struct board *board, struct outcome *error_r)
{
    int descriptor = listen_at(config->listen, error_r);

    if (descriptor < 0)
        return NULL;
    struct http *http = xcalloc(1, sizeof *http);
    http->config = config;
    http->board = board;
    pthread_mutex_init(&http->lock, NULL);
    for (size_t i = 0; i < CONNECTIONS; i++)
        http->connections[i].descriptor = -1;
    http->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL, on_request, http,
        MHD_OPTION_LISTEN_SOCKET, descriptor, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
    if (http->daemon == NULL) {
        outcome_local(error_r, "4.3.0", "cannot start the HTTP server on %s", config->listen);
        close(descriptor);
        pthread_mutex_destroy(&http->lock);
        free(http);
        return NULL;
    }
    return http;
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
