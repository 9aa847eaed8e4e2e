#include "event/event_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xalloc.h"

#define BODY_KEPT 1024        /* of an answer, for its description */
#define BODY_READ_MAX 65536   /* of an answer, before the connection is given up */
#define RETRY_AFTER_MAX 86400 /* seconds: what is above is no reasonable wish */

#define KEY_HEADER "X-SP-Event-ApiKey"
#define MASK "********"

struct event_client {
    const char *endpoint;
    const struct config_tls *tls;
    CURL *curl;
    FILE *trace;
    const char *key; /* of the request under way */
    char body[BODY_KEPT];
    size_t body_kept;
    size_t body_read;
    bool answered; /* status line and headers of the final answer were read */
    char error[CURL_ERROR_SIZE];
};

/* --- what is shown to people ---------------------------------------------------------------------- */

/* length bytes of text with each occurrence of the key replaced; malloc'd, *masked_r long. */
static char *mask_key(const char *text, size_t length, const char *key, size_t *masked_r)
{
    size_t key_length = key ? strlen(key) : 0;
    char *masked = xmalloc(length * sizeof MASK + 1);
    size_t used = 0;

    for (size_t at = 0; at < length;) {
        if (key_length > 0 && length - at >= key_length && memcmp(text + at, key, key_length) == 0) {
            memcpy(masked + used, MASK, sizeof MASK - 1);
            used += sizeof MASK - 1;
            at += key_length;
        } else {
            masked[used++] = text[at++];
        }
    }
    *masked_r = used;
    return masked;
}

void event_answer_describe(struct event_answer *answer, const char *key, const char *body, size_t length)
{
    size_t masked_length;
    AUTO_FREE char *masked = mask_key(body, length, key, &masked_length);
    int used = snprintf(answer->text, sizeof answer->text, "HTTP %d", answer->status);
    char *at = masked;

    while (masked_length > 0 && strchr(" \t\r\n", *at) != NULL && *at != '\0') {
        at++;
        masked_length--;
    }
    if (masked_length == 0 || used < 0 || (size_t)used + 3 > sizeof answer->text)
        return;
    memcpy(answer->text + used, ": ", 3);
    utf8_clean(answer->text + used + 2, sizeof answer->text - (size_t)used - 2, at, masked_length);
}

static int show(CURL *curl, curl_infotype type, char *data, size_t size, void *context)
{
    static const char *const marks[] = {"* ", "< ", "> "};
    struct event_client *client = context;
    size_t length;

    (void)curl;
    if (type == CURLINFO_DATA_OUT)
        type = CURLINFO_HEADER_OUT;
    if (type >
        CURLINFO_HEADER_OUT) /* TLS records; and the body, which comes in pieces that could cut a key in two */
        return 0;
    AUTO_FREE char *masked = mask_key(data, size, client->key, &length);
    for (char *line = masked, *end = masked + length; line < end;) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t line_length = (size_t)((newline ? newline : end) - line);
        AUTO_FREE char *clean = xmalloc(line_length * 3 + 1);
        utf8_clean(clean, line_length * 3 + 1, line,
                   line_length - (line_length > 0 && line[line_length - 1] == '\r'));
        fprintf(client->trace, "%s%s\n", marks[type], clean);
        line += line_length + 1;
    }
    return 0;
}

/* --- libcurl ---------------------------------------------------------------------------------------- */

static size_t take_body(char *data, size_t one, size_t size, void *context)
{
    struct event_client *client = context;
    size_t room = sizeof client->body - client->body_kept, keep = size < room ? size : room;

    (void)one;
    memcpy(client->body + client->body_kept, data, keep);
    client->body_kept += keep;
    client->body_read += size;
    return client->body_read <= BODY_READ_MAX ? size : 0; /* 0 ends the transfer */
}

static size_t take_header(char *data, size_t one, size_t size, void *context)
{
    struct event_client *client = context;
    long status = 0;

    (void)one;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && size <= 2 && data[0] == (size == 2 ? '\r' : '\n'))
        client->answered = true;
    return size;
}

static void initialise_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void set_tls(CURL *curl, const struct config_tls *tls)
{
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_CAINFO, tls->ca_file); /* NULL takes the built-in bundle away */
    curl_easy_setopt(curl, CURLOPT_CAPATH, tls->ca_path);
}

struct event_client *event_client_open(const char *endpoint, const struct config_tls *tls)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct event_client *client = xcalloc(1, sizeof *client);

    pthread_once(&once, initialise_library);
    client->endpoint = endpoint;
    client->tls = tls;
    client->curl = curl_easy_init(); /* NULL: out of memory; told at the first request */
    if (client->curl == NULL)
        return client;

    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_URL, endpoint);
    /* the configuration takes http for loopback only */
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS | CURLPROTO_HTTP));
#endif
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* not even one from the environment */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "postfix-sendpost/" PACKAGE_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, client);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error);
    curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, show);
    curl_easy_setopt(curl, CURLOPT_DEBUGDATA, client);
    set_tls(curl, tls);
    return client;
}

void event_client_close(struct event_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    free(client);
}

void event_client_trace(struct event_client *client, FILE *trace)
{
    client->trace = trace;
    if (client->curl != NULL)
        curl_easy_setopt(client->curl, CURLOPT_VERBOSE, trace != NULL ? 1L : 0L);
}

/* The list holds the key in the clear: see free_headers(). */
static struct curl_slist *make_headers(const char *key)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");

    headers = curl_slist_append(headers, "Accept: application/json");
    headers = curl_slist_append(headers, "Expect:"); /* a pause of a second where the server ignores it */
    if (key != NULL) {
        char *line = xasprintf(KEY_HEADER ": %s", key);
        headers = curl_slist_append(headers, line);
        secret_free(&line);
    }
    return headers;
}

static void free_headers(struct curl_slist *headers)
{
    for (struct curl_slist *header = headers; header != NULL; header = header->next)
        explicit_bzero(header->data, strlen(header->data));
    curl_slist_free_all(headers);
}

/* Once status and headers are read, the answer stands, whatever happens to its body. */
static void read_answer(struct event_client *client, CURLcode result, struct event_answer *answer_r)
{
    long status = 0;
    curl_off_t retry_after = 0;

    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!client->answered || status < 200 || status > 999) {
        snprintf(answer_r->text, sizeof answer_r->text, "no answer: %s",
                 *client->error != '\0' ? client->error : curl_easy_strerror(result));
        return;
    }
    answer_r->status = (int)status;
    curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER,
                      &retry_after); /* seconds or a date, it reads both */
    if (retry_after > 0)
        answer_r->retry_after_ms = 1000 * (retry_after < RETRY_AFTER_MAX ? retry_after : RETRY_AFTER_MAX);
    size_t length = client->body_kept, key_length = client->key ? strlen(client->key) : 0;
    if (client->body_read > length) /* the beginning of a key at the cut would not be recognised */
        length -= key_length < length ? key_length : length;
    event_answer_describe(answer_r, client->key, client->body, length);
}

void event_client_post(struct event_client *client, const char *key, const char *body, size_t length,
                       int64_t timeout_ms, struct event_answer *answer_r)
{
    CURL *curl = client->curl;

    memset(answer_r, 0, sizeof *answer_r);
    if (curl == NULL || timeout_ms <= 0 || (key != NULL && strpbrk(key, "\r\n") != NULL)) {
        snprintf(answer_r->text, sizeof answer_r->text, "no answer: %s",
                 curl == NULL      ? "out of memory"
                 : timeout_ms <= 0 ? "no time is left"
                                   : "the key has several lines");
        return;
    }
    client->key = key;
    client->body_kept = client->body_read = 0;
    client->answered = false;
    *client->error = '\0';
    struct curl_slist *headers = make_headers(key);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    CURLcode result = curl_easy_perform(curl);
    read_answer(client, result, answer_r);
    if (client->trace != NULL)
        fprintf(client->trace, "* %s\n", answer_r->text);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
    free_headers(headers);
    client->key = NULL;
}
