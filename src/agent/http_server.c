#include "agent/http_server.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/health.h"
#include "agent/http_connectivity.h"
#include "agent/http_guard.h"
#include "agent/http_lives.h"
#include "agent/http_reply.h"
#include "agent/http_tester.h"
#include "agent/metrics.h"
#include "agent/page.h"
#include "agent/page_feed.h"
#include "agent/page_files.h"
#include "agent/page_search.h"
#include "agent/queue_watch.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/page_login.h"
#include "base/xalloc.h"

#define SILENCE_S 10
#define MEMORY_PER_CONNECTION (32 * 1024)
#define TEST_PATH "/api/v1/tpsp/test/custom-smtp"
#define COOKIE "sendpost"

struct http_server {
    struct MHD_Daemon *daemon;
    const struct config *config;
    struct board *board;
    struct http_lives *lives;
    struct http_tester *tester;
    struct page *page;
    struct queue_watch *queue;
    enum http_place place;
    struct page_login_key key;
    bool has_key; /* else nobody can log in */
    char host_name[256];
    const char *names[3];
};

struct request {
    struct http_test *test; /* NULL: it is none */
    struct http_server *http;
    struct MHD_Connection *connection;
};

/* --- who asks --------------------------------------------------------------------------------------- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool may_see_addresses(const struct http_server *http, struct MHD_Connection *connection)
{
    const char *cookie = MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, COOKIE);

    return http->place == HTTP_ON_UNIX ||
           (http->has_key && cookie != NULL && page_login_valid(&http->key, clock_realtime_ms(), cookie));
}

static int descriptor_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info != NULL ? info->connect_fd : -2;
}

/* --- what is answered ---------------------------------------------------------------------------------- */

static enum MHD_Result answer_health(struct http_server *http, struct MHD_Connection *connection)
{
    struct board_facts facts;
    bool healthy = true;

    board_read(http->board, &facts);
    char *body = health_json(&facts, http->config, &healthy);
    return http_reply(connection, healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json",
                      body);
}

static enum MHD_Result answer_metrics(struct http_server *http, struct MHD_Connection *connection)
{
    struct board_facts facts;

    board_read(http->board, &facts);
    struct page_queue queue = queue_watch_look(http->queue);
    return http_reply(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                      metrics_prometheus(&facts, http->config, &queue));
}

static enum MHD_Result answer_page(struct http_server *http, struct MHD_Connection *connection)
{
    const char *query = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "q");

    if (query != NULL && strlen(query) > PAGE_SEARCH_MAX)
        return http_reply_error(connection, MHD_HTTP_URI_TOO_LONG, "that is too long to search for");
    return http_reply(connection, MHD_HTTP_OK, "text/html; charset=utf-8",
                      page_html(http->page, may_see_addresses(http, connection), query));
}

static enum MHD_Result answer_script(struct http_server *http, struct MHD_Connection *connection)
{
    (void)http;
    return http_reply_file(connection, "text/javascript; charset=utf-8", page_file_script);
}

static enum MHD_Result answer_style(struct http_server *http, struct MHD_Connection *connection)
{
    (void)http;
    return http_reply_file(connection, "text/css; charset=utf-8", page_file_style);
}

static enum MHD_Result answer_icon(struct http_server *http, struct MHD_Connection *connection)
{
    (void)http;
    return http_reply_file(connection, "image/svg+xml", page_file_icon);
}

static enum MHD_Result answer_feed(struct http_server *http, struct MHD_Connection *connection)
{
    if (!may_see_addresses(http, connection))
        return http_reply_error(connection, MHD_HTTP_FORBIDDEN, "run sendpostctl ui");
    struct MHD_Response *response = page_feed_follow(page_feed_of(http->page), connection);
    if (response == NULL)
        return http_reply_error(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "as many as can follow do");
    http_lives_grant(http->lives, descriptor_of(connection), PAGE_FEED_LIFE_MS + HTTP_LIFE_MS);
    return http_reply_with(connection, MHD_HTTP_OK, "text/event-stream", response);
}

/* The link of `sendpostctl ui`: a cookie for the token, and on to the page. */
static enum MHD_Result answer_login(struct http_server *http, struct MHD_Connection *connection)
{
    const char *token = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "token");
    int64_t now_ms = clock_realtime_ms();
    char cookie[PAGE_LOGIN_COOKIE_SIZE];

    if (!http->has_key || token == NULL || !page_login_redeem(http->config->state_dir, now_ms, token))
        return http_reply_error(connection, MHD_HTTP_FORBIDDEN,
                                "this link was used already, or is too old: run sendpostctl ui once more");
    page_login_cookie(&http->key, now_ms + PAGE_LOGIN_MS, cookie);
    struct MHD_Response *response = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    AUTO_FREE char *set = xasprintf(COOKIE "=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict", cookie,
                                    (long long)(PAGE_LOGIN_MS / 1000));
    MHD_add_response_header(response, MHD_HTTP_HEADER_SET_COOKIE, set);
    MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, "/");
    explicit_bzero(cookie, sizeof cookie);
    log_line(LOG_INFO, "somebody has logged in to the status page");
    return http_reply_with(connection, MHD_HTTP_SEE_OTHER, "text/plain", response);
}

static const struct {
    const char *path;
    enum MHD_Result (*answer)(struct http_server *http, struct MHD_Connection *connection);
} pages[] = {
    {"/", answer_page},          {"/health", answer_health},   {"/metrics", answer_metrics},
    {"/page.js", answer_script}, {"/style.css", answer_style}, {"/icon.svg", answer_icon},
    {"/live", answer_feed},      {"/login", answer_login},
};

/* --- libmicrohttpd ------------------------------------------------------------------------------------- */

static void on_test_started(void *context)
{
    const struct request *request = context;

    http_lives_grant(request->http->lives, descriptor_of(request->connection),
                     HTTP_LIFE_MS + HTTP_CONNECTIVITY_DEADLINE_MS);
}

static enum MHD_Result answer(struct request *request, const char *path, const char *method)
{
    struct MHD_Connection *connection = request->connection;
    const char *refused =
        http_guard_refuses(&(struct http_guard_facts){.place = request->http->place,
                                                      .path = path,
                                                      .host = header(connection, "Host"),
                                                      .origin = header(connection, "Origin"),
                                                      .names = request->http->names});

    if (refused != NULL)
        return http_reply_error(connection, MHD_HTTP_FORBIDDEN, refused);
    if (request->test != NULL)
        return strcmp(method, MHD_HTTP_METHOD_POST) == 0
                   ? http_test_answer(request->test, on_test_started, request)
                   : http_reply_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only POST");
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (strcmp(path, pages[i].path) == 0)
            return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0
                       ? pages[i].answer(request->http, connection)
                       : http_reply_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
    return http_reply_error(connection, MHD_HTTP_NOT_FOUND,
                            "there is the status page here, /health, /metrics and " TEST_PATH);
}

/* libmicrohttpd calls once with the header, then with each part of the body, then without: the last is
 * answered. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct http_server *http = context;
    struct request *request = *state;

    (void)version;
    if (request == NULL) {
        *state = request = xcalloc(1, sizeof *request);
        *request = (struct request){.http = http, .connection = connection};
        if (strcmp(path, TEST_PATH) == 0)
            request->test = http_test_new(http->tester, connection);
        return MHD_YES;
    }
    if (*upload_size > 0) {
        if (request->test != NULL)
            http_test_take(request->test, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    return answer(request, path, method);
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
    http_test_free(request->test);
    free(request);
    *state = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *http = context;

    (void)socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        http_lives_begin(http->lives, descriptor_of(connection));
    else
        http_lives_end(http->lives, descriptor_of(connection));
}

void http_server_tick(struct http_server *http)
{
    http_lives_tick(http->lives);
    queue_watch_tick(http->queue);
}

/* --- start --------------------------------------------------------------------------------------------- */

static void learn_names(struct http_server *http)
{
    size_t count = 0;

    if (gethostname(http->host_name, sizeof http->host_name - 1) == 0)
        http->names[count++] = http->host_name;
    if (http->config->tpsp_count > 0 && http->config->tpsps[0].helo_name != NULL)
        http->names[count++] = http->config->tpsps[0].helo_name;
}

struct http_server *http_server_start(const struct config *config, struct board *board, int descriptor,
                                      struct outcome *error_r)
{
    struct http_server *http = xcalloc(1, sizeof *http);
    struct outcome error;

    http->config = config;
    http->board = board;
    http->lives = http_lives_new();
    http->tester = http_tester_new(config);
    http->place = http_guard_place(config->listen);
    learn_names(http);
    http->has_key = page_login_key(config->state_dir, &http->key, &error);
    if (!http->has_key)
        log_line(LOG_WARNING, "nobody can log in to the status page: %s", error.text);
    http->queue = queue_watch_new(config->state_dir);
    http->page = page_start(config, board, http->queue);
    http->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
        NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, descriptor, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (http->daemon != NULL)
        return http;
    outcome_local(error_r, "4.3.0", "cannot start the HTTP server on %s", config->listen);
    return NULL; /* the process ends */
}
