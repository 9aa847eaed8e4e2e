/*
 * libcurl as an engine: for what libESMTP cannot say or would alter. It is loaded when a message needs it
 * (net/curl.h).
 *
 * It is attached to the local stream by the same shim: CURLOPT_OPENSOCKETFUNCTION would do, but 7.88 connects
 * the socket although CURL_SOCKOPT_ALREADY_CONNECTED says that it is.
 */
#include "relay/engine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/curl.h"
#include "relay/local_connect.h"

/* Ours are the deadlines that count. */
#define NEVER_S (24L * 3600)

struct source {
    const struct relay_message *message;
    uint64_t offset;
};

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

/* False: no memory. */
static bool set_up(const struct curl_library *lib, CURL *curl, const struct engine_job *job,
                   struct source *source, struct curl_slist **recipients_r)
{
    const struct relay_request *request = job->request;

    *recipients_r = NULL;
    lib->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib->easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    lib->easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    lib->easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, NEVER_S);
#if LIBCURL_VERSION_NUM >= 0x075400
    lib->easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, NEVER_S);
#else
    lib->easy_setopt(curl, CURLOPT_FTP_RESPONSE_TIMEOUT, NEVER_S);
#endif
    lib->easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    lib->easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->message->size);
    lib->easy_setopt(curl, CURLOPT_READFUNCTION, read_message);
    lib->easy_setopt(curl, CURLOPT_READDATA, source);
    lib->easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    /* no proxy, whatever the environment says */
    return lib->easy_setopt(curl, CURLOPT_URL, "smtp://127.0.0.1/wire") == CURLE_OK &&
           lib->easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           lib->easy_setopt(curl, CURLOPT_MAIL_FROM, request->sender) == CURLE_OK &&
           curl_library_append(lib, recipients_r, request->recipient) &&
           lib->easy_setopt(curl, CURLOPT_MAIL_RCPT, *recipients_r) == CURLE_OK;
}

static void run(struct engine_job *job)
{
    struct source source = {.message = job->request->message};
    struct curl_slist *recipients;
    const struct curl_library *lib;
    const char *why;
    CURLcode result;
    CURL *curl;

    lib = curl_library(&why);
    curl = lib != NULL ? lib->easy_init() : NULL;
    if (curl == NULL) {
        snprintf(job->says, sizeof job->says, "%s", lib == NULL ? why : "libcurl is out of memory");
    } else {
        result = CURLE_OUT_OF_MEMORY;
        if (set_up(lib, curl, job, &source, &recipients)) {
            local_connect_begin(job->stream);
            result = lib->easy_perform(curl);
            local_connect_end();
        }
        job->accepted = result == CURLE_OK;
        snprintf(job->says, sizeof job->says, "%s", lib->easy_strerror(result));
        lib->easy_cleanup(curl);
        lib->slist_free_all(recipients);
    }
    close(job->stream);
}

const struct engine engine_curl = {.name = "libcurl",
                                   .serves = ENGINE_NEED_SMTPUTF8 | ENGINE_NEED_EXACT_HEADER |
                                             ENGINE_NEED_LONG_LINES,
                                   .run = run};
