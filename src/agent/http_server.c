#include "agent/http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/health.h"
#include "agent/http_connectivity.h"
#include "agent/metrics.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define CONNECTIONS 32
#define SILENCE_S 10
#define LIFE_MS 30000
#define MEMORY_PER_CONNECTION (32 * 1024)
#define TEST_PATH "/api/v1/tpsp/test/custom-smtp"

struct connection {
    int descriptor; /* -1: free */
    int64_t since_ms;
};

struct request {
    struct http_server *http;
    struct MHD_Connection *connection;
    char body[HTTP_CONNECTIVITY_BODY_MAX];
    size_t length; /* beyond the buffer's size: too large */
    char *answer;  /* of the test, when it is done */
    unsigned status;
};

struct http_server {
    struct MHD_Daemon *daemon;
    const struct config *config;
    struct board *board;
    pthread_mutex_t lock;
    struct connection connections[CONNECTIONS];
    pthread_t tester;
    bool tester_started;
    bool testing, stopping; /* testing: no room for another test; these and the next under the lock */
    unsigned suspended;     /* connections that wait for a test */
    pthread_cond_t resumed;
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
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_error(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return answer(connection, status, "application/json", xasprintf("{\"error\":\"%s\"}\n", text));
}

static enum MHD_Result answer_get(struct http_server *http, struct MHD_Connection *connection,
                                  const char *path)
{
    struct board_facts facts;
    bool healthy = true;

    board_read(http->board, &facts);
    if (strcmp(path, "/metrics") == 0)
        return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                      metrics_prometheus(&facts, http->config));
    char *body = health_json(&facts, http->config, &healthy);
    return answer(connection, healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json", body);
}

/* --- the connectivity test: takes seconds, so it runs in a thread of its own, one at a time --------- */

static void *run_test(void *context)
{
    struct request *request = context;
    struct http_server *http = request->http;

    request->answer = http_connectivity_run(http->config, request->body, request->length, &request->status);
    explicit_bzero(request->body, sizeof request->body);
    pthread_mutex_lock(&http->lock);
    http->testing = false; /* ahead of the answer: who has read it may ask for another test at once */
    pthread_mutex_unlock(&http->lock);
    MHD_resume_connection(request->connection); /* from here on the request may be gone */
    pthread_mutex_lock(&http->lock);
    http->suspended--;
    pthread_cond_signal(&http->resumed);
    pthread_mutex_unlock(&http->lock);
    return NULL;
}

/* The end of a test that was, before another one or the end of all. */
static void join_tester(struct http_server *http)
{
    if (http->tester_started)
        pthread_join(http->tester, NULL);
    http->tester_started = false;
}

static void grant_life(struct http_server *http, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    for (size_t i = 0; info != NULL && i < CONNECTIONS; i++)
        if (http->connections[i].descriptor == info->connect_fd)
            http->connections[i].since_ms = clock_monotonic_ms() + HTTP_CONNECTIVITY_DEADLINE_MS;
}

static enum MHD_Result begin_test(struct http_server *http, struct request *request)
{
    const char *key = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-SP-Event-ApiKey");

    if (!http_connectivity_key_matches(http->config, key))
        return answer_error(request->connection, MHD_HTTP_UNAUTHORIZED,
                            "X-SP-Event-ApiKey is not the event key");
    if (request->length > sizeof request->body)
        return answer_error(request->connection, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
    pthread_mutex_lock(&http->lock);
    bool busy = http->testing || http->stopping;
    http->testing = http->testing || !busy;
    if (!busy) {
        http->suspended++;
        grant_life(http, request->connection);
    }
    pthread_mutex_unlock(&http->lock);
    if (busy)
        return answer_error(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "another test is running");
    join_tester(http);
    MHD_suspend_connection(request->connection);
    http->tester_started = pthread_create(&http->tester, NULL, run_test, request) == 0;
    if (!http->tester_started) {
        pthread_mutex_lock(&http->lock);
        http->testing = false;
        http->suspended--;
        pthread_mutex_unlock(&http->lock);
        request->answer = xstrdup("{\"error\":\"no thread\"}\n");
        request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        MHD_resume_connection(request->connection);
    }
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *state;

    (void)context;
    (void)connection;
    (void)code;
    if (request == NULL)
        return;
    explicit_bzero(request->body, sizeof request->body);
    free(request->answer);
    free(request);
    *state = NULL;
}

static void take_body(struct request *request, const char *bytes, size_t length)
{
    if (request->length + length <= sizeof request->body)
        memcpy(request->body + request->length, bytes, length);
    if (request->length <= sizeof request->body)
        request->length += length;
}

static enum MHD_Result answer_post(struct http_server *http, struct request *request)
{
    if (request->answer == NULL)
        return begin_test(http, request);
    char *body = request->answer;
    request->answer = NULL;
    return answer(request->connection, request->status, "application/json", body);
}

/* libmicrohttpd calls once with the header, then with each part of the body, then without: the last is
 * answered. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct http_server *http = context;
    struct request *request = *state;
    bool get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;

    (void)version;
    if (request == NULL) {
        *state = request = xcalloc(1, sizeof *request);
        request->http = http;
        request->connection = connection;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        take_body(request, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(path, TEST_PATH) == 0)
        return strcmp(method, MHD_HTTP_METHOD_POST) == 0
                   ? answer_post(http, request)
                   : answer_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only POST");
    if (strcmp(path, "/health") != 0 && strcmp(path, "/metrics") != 0)
        return answer_error(connection, MHD_HTTP_NOT_FOUND,
                            "there is /health, /metrics and " TEST_PATH " here");
    return get ? answer_get(http, connection, path)
               : answer_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
}

/* --- connections ---------------------------------------------------------------------------------- */

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *http = context;
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
void http_server_tick(struct http_server *http)
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

struct http_server *http_server_start(const struct config *config, struct board *board,
                                      struct outcome *error_r)
{
    int descriptor = listen_at(config->listen, error_r);

    if (descriptor < 0)
        return NULL;
    struct http_server *http = xcalloc(1, sizeof *http);
    http->config = config;
    http->board = board;
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->resumed, NULL);
    for (size_t i = 0; i < CONNECTIONS; i++)
        http->connections[i].descriptor = -1;
    http->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
        NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, descriptor, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (http->daemon == NULL) {
        outcome_local(error_r, "4.3.0", "cannot start the HTTP server on %s", config->listen);
        close(descriptor);
        pthread_mutex_destroy(&http->lock);
        free(http);
        return NULL;
    }
    return http;
}

void http_server_stop(struct http_server *http)
{
    if (http == NULL)
        return;
    pthread_mutex_lock(&http->lock);
    http->stopping = true;
    while (http->suspended > 0) /* libmicrohttpd cannot end with a suspended connection */
        pthread_cond_wait(&http->resumed, &http->lock);
    pthread_mutex_unlock(&http->lock);
    MHD_stop_daemon(http->daemon);
    join_tester(http);
    pthread_cond_destroy(&http->resumed);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
