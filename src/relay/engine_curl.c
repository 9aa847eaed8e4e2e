/*
 * libcurl as an engine: for what libESMTP cannot say or would alter. It is attached to the local stream by the same
 * shim: CURLOPT_OPENSOCKETFUNCTION would do, but 7.88 connects the socket although CURL_SOCKOPT_ALREADY_CONNECTED
 * says that it is.
 */
#include "relay/engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "relay/local_connect.h"

/* Ours are the deadlines that count. */
#define NEVER_S (24L * 3600)

struct source {
    const struct relay_message *message;
    uint64_t offset;
};

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t read_message(char *buffer, size_t size, size_t count, void *argument)
{
    struct source *source = argument;
    ssize_t got = source->message->read_at(source->message->context, source->offset, buffer, size * count);

    if (got < 0)
        return CURL_READFUNC_ABORT;
    source->offset += (uint64_t)got;
    return (size_t)got;
}

/* libcurl hands "received" text to stdout where nobody else takes it. */
static size_t discard(char *data, size_t size, size_t count, void *argument)
{
    (void)data, (void)argument;
    return size * count;
}

static void set_login(CURL *curl, const struct engine_job *job)
{
    const struct config_tpsp *tpsp = job->request->tpsp;
    char options[32];

    if (job->mechanism == NULL)
        return;
    snprintf(options, sizeof options, "AUTH=%s", job->mechanism);
    curl_easy_setopt(curl, CURLOPT_LOGIN_OPTIONS, options);
    curl_easy_setopt(curl, CURLOPT_USERNAME, tpsp->username);
    if (strcmp(job->mechanism, "XOAUTH2") == 0)
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, tpsp->oauth_token);
    else
        curl_easy_setopt(curl, CURLOPT_PASSWORD, tpsp->password != NULL ? tpsp->password : "");
    curl_easy_setopt(curl, CURLOPT_SASL_IR, 1L);
}

static struct curl_slist *set_up(CURL *curl, const struct engine_job *job, struct source *source)
{
    const struct relay_request *request = job->request;
    struct curl_slist *recipients = curl_slist_append(NULL, request->recipient);

    curl_easy_setopt(curl, CURLOPT_URL, "smtp://127.0.0.1/wire");
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, NEVER_S);
#if LIBCURL_VERSION_NUM >= 0x075400
    curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, NEVER_S);
#else
    curl_easy_setopt(curl, CURLOPT_FTP_RESPONSE_TIMEOUT, NEVER_S);
#endif
    curl_easy_setopt(curl, CURLOPT_MAIL_FROM, request->sender);
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->message->size);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, read_message);
    curl_easy_setopt(curl, CURLOPT_READDATA, source);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    set_login(curl, job);
    return recipients;
}

static void run(struct engine_job *job)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct source source = {.message = job->request->message};
    struct curl_slist *recipients;
    CURLcode result;
    CURL *curl;

    pthread_once(&once, start_curl);
    curl = curl_easy_init();
    if (curl == NULL) {
        snprintf(job->says, sizeof job->says, "libcurl cannot set up a session");
    } else {
        recipients = set_up(curl, job, &source);
        local_connect_begin(job->stream);
        result = curl_easy_perform(curl);
        local_connect_end();
        job->accepted = result == CURLE_OK;
        snprintf(job->says, sizeof job->says, "%s", curl_easy_strerror(result));
        curl_easy_cleanup(curl);
        curl_slist_free_all(recipients);
    }
    close(job->stream);
}

const struct engine engine_curl = {.name = "libcurl",
                                   .serves = ENGINE_NEED_SMTPUTF8 | ENGINE_NEED_XOAUTH2 |
                                             ENGINE_NEED_EXACT_HEADER | ENGINE_NEED_LONG_LINES |
                                             ENGINE_NEED_LONG_SECRETS,
                                   .run = run};
