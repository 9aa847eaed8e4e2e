#include "agent/http_tester.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/http_connectivity.h"
#include "agent/http_reply.h"
#include "base/xalloc.h"

struct http_tester {
    const struct config *config;
    pthread_mutex_t lock;
    bool busy; /* no room for another; under the lock */
};

struct http_test {
    struct http_tester *tester;
    struct MHD_Connection *connection;
    char body[HTTP_CONNECTIVITY_BODY_MAX];
    size_t length; /* beyond the buffer's size: too large */
    char *answer;  /* when it is done */
    unsigned status;
};

struct http_tester *http_tester_new(const struct config *config)
{
    struct http_tester *tester = xcalloc(1, sizeof *tester);

    tester->config = config;
    pthread_mutex_init(&tester->lock, NULL);
    return tester;
}

struct http_test *http_test_new(struct http_tester *tester, struct MHD_Connection *connection)
{
    struct http_test *test = xcalloc(1, sizeof *test);

    test->tester = tester;
    test->connection = connection;
    return test;
}

void http_test_take(struct http_test *test, const char *bytes, size_t length)
{
    if (test->length + length <= sizeof test->body)
        memcpy(test->body + test->length, bytes, length);
    if (test->length <= sizeof test->body)
        test->length += length;
}

/* Whether the one place was free, and is now taken. */
static bool take_place(struct http_tester *tester)
{
    pthread_mutex_lock(&tester->lock);
    bool taken = !tester->busy;
    tester->busy = true;
    pthread_mutex_unlock(&tester->lock);
    return taken;
}

static void leave_place(struct http_tester *tester)
{
    pthread_mutex_lock(&tester->lock);
    tester->busy = false;
    pthread_mutex_unlock(&tester->lock);
}

static void *run(void *context)
{
    struct http_test *test = context;

    test->answer = http_connectivity_run(test->tester->config, test->body, test->length, &test->status);
    explicit_bzero(test->body, sizeof test->body);
    leave_place(test->tester); /* ahead of the answer: who has read it may ask for another test at once */
    MHD_resume_connection(test->connection); /* from here on the request may be gone */
    return NULL;
}

static enum MHD_Result begin(struct http_test *test, void (*started)(void *context), void *context)
{
    const struct config *config = test->tester->config;
    const char *key = MHD_lookup_connection_value(test->connection, MHD_HEADER_KIND, "X-SP-Event-ApiKey");
    pthread_t thread;

    if (!http_connectivity_key_matches(config, key))
        return http_reply_error(test->connection, MHD_HTTP_UNAUTHORIZED,
                                "X-SP-Event-ApiKey is not the event key");
    if (test->length > sizeof test->body)
        return http_reply_error(test->connection, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
    if (!take_place(test->tester))
        return http_reply_error(test->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "another test is running");
    started(context);
    MHD_suspend_connection(test->connection);
    if (pthread_create(&thread, NULL, run, test) == 0) {
        pthread_detach(thread);
        return MHD_YES;
    }
    leave_place(test->tester);
    test->answer = xstrdup("{\"error\":\"no thread\"}\n");
    test->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    MHD_resume_connection(test->connection);
    return MHD_YES;
}

enum MHD_Result http_test_answer(struct http_test *test, void (*started)(void *context), void *context)
{
    if (test->answer == NULL)
        return begin(test, started, context);
    char *body = test->answer;
    test->answer = NULL;
    return http_reply(test->connection, test->status, "application/json", body);
}

void http_test_free(struct http_test *test)
{
    if (test == NULL)
        return;
    explicit_bzero(test->body, sizeof test->body);
    free(test->answer);
    free(test);
}
