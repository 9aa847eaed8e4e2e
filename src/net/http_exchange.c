/* http_client's other half: what libcurl is told, asks and hands over. */
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "net/http_client_private.h"

/* --- what is shown to people ------------------------------------------------------------------------ */

void http_show(const struct http_client *client, char mark, const char *text, size_t length)
{
    size_t masked_length;

    if (client->trace == NULL)
        return;
    AUTO_FREE char *masked = http_mask(text, length, client->request->secrets, &masked_length);
    AUTO_FREE char *clean = xmalloc(masked_length * 3 + 1);
    utf8_clean(clean, masked_length * 3 + 1, masked, masked_length);
    fprintf(client->trace, "%c %s\n", mark, clean);
}

static void show_lines(const struct http_client *client, char mark, const char *text, size_t length)
{
    const char *stop = text + length;

    while (text < stop) {
        const char *end = memchr(text, '\n', (size_t)(stop - text));
        const char *next = end != NULL ? end + 1 : stop;
        size_t line = (size_t)((end != NULL ? end : stop) - text);
        if (line > 0 && text[line - 1] == '\r')
            line--;
        if (line > 0)
            http_show(client, mark, text, line);
        text = next;
    }
}

static int on_dialogue(CURL *curl, curl_infotype type, char *data, size_t length, void *context)
{
    struct http_client *client = context;

    (void)curl;
    if (type == CURLINFO_HEADER_OUT && client->summary_due && client->attachment.ssl != NULL) {
        char summary[96];
        tls_summary(client->attachment.ssl, summary, sizeof summary);
        http_show(client, '*', summary, strlen(summary));
        client->summary_due = false;
    }
    if (type == CURLINFO_HEADER_OUT || type == CURLINFO_HEADER_IN)
        show_lines(client, type == CURLINFO_HEADER_OUT ? '>' : '<', data, length);
    return 0;
}

/* --- what libcurl asks and hands over ------------------------------------------------------------------ */

/* Not blocking from the beginning: libcurl asks for that later and does not look whether it was given, and no
 * timeout of its own ends a read that blocks. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)context;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->protocol);
}

static CURLcode on_context(CURL *curl, void *ctx, void *context)
{
    struct http_client *client = context;

    (void)curl;
    client->summary_due = true;
    return tls_attach(&client->attachment, ctx) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

static size_t on_head(char *data, size_t size, size_t count, void *context)
{
    struct http_client *client = context;
    long status = 0;

    client->lib->easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    return http_answer_head(&client->answer, (int)status, data, size * count) ? size * count : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct http_client *client = context;

    return http_answer_body(&client->answer, data, size * count) ? size * count : 0;
}

/* --- one try ------------------------------------------------------------------------------------------- */

static void set_protocols(const struct http_client *client)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    client->lib->easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, client->url.tls ? "https" : "http");
#else
    client->lib->easy_setopt(client->curl, CURLOPT_PROTOCOLS,
                             client->url.tls ? (long)CURLPROTO_HTTPS : (long)CURLPROTO_HTTP);
#endif
}

void http_lacks_memory(struct http_client *client)
{
    snprintf(client->error, sizeof client->error, "out of memory");
}

/* libcurl keeps a copy, for which there may be no memory: then it has none, or the one of before. */
static bool set_text(struct http_client *client, CURLoption option, const char *text)
{
    if (client->lib->easy_setopt(client->curl, option, text) == CURLE_OK)
        return true;
    http_lacks_memory(client);
    return false;
}

/* What holds for every request of this client. */
static bool set_up(struct http_client *client)
{
    const struct curl_library *lib = client->lib;
    CURL *curl = client->curl;

    lib->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib->easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    lib->easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    lib->easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, -1L); /* it knows what CURLOPT_RESOLVE says, no more */
    lib->easy_setopt(curl, CURLOPT_MAXCONNECTS, 1L);
    lib->easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    lib->easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
    lib->easy_setopt(curl, CURLOPT_HEADERDATA, client);
    lib->easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    lib->easy_setopt(curl, CURLOPT_WRITEDATA, client);
    /* on_context() says what is trusted, what is resumed and what is remembered */
    lib->easy_setopt(curl, CURLOPT_CAINFO, NULL);
    lib->easy_setopt(curl, CURLOPT_CAPATH, NULL);
    lib->easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    lib->easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, client->settings->verify ? 1L : 0L);
    lib->easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, client->settings->verify ? 2L : 0L);
    lib->easy_setopt(curl, CURLOPT_SSL_CTX_DATA, client);
    if (client->trace != NULL) {
        lib->easy_setopt(curl, CURLOPT_DEBUGFUNCTION, on_dialogue);
        lib->easy_setopt(curl, CURLOPT_DEBUGDATA, client);
        lib->easy_setopt(curl, CURLOPT_VERBOSE, 1L);
    }
    /* no proxy, whatever the environment says */
    return set_text(client, CURLOPT_PROXY, "") &&
           set_text(client, CURLOPT_USERAGENT, "postfix-sendpost/" PACKAGE_VERSION);
}

static bool give_up(struct http_client *client)
{
    client->lib->easy_cleanup(client->curl);
    client->curl = NULL;
    return false;
}

bool http_load(struct http_client *client)
{
    const char *why;

    if (client->curl != NULL)
        return true;
    client->lib = curl_library(&why);
    client->curl = client->lib != NULL ? client->lib->easy_init() : NULL;
    if (client->curl == NULL) {
        snprintf(client->error, sizeof client->error, "%s", client->lib == NULL ? why : "out of memory");
        return false;
    }
    if (client->lib->easy_setopt(client->curl, CURLOPT_SSL_CTX_FUNCTION, on_context) != CURLE_OK) {
        snprintf(client->error, sizeof client->error, "libcurl uses another TLS library than OpenSSL");
        return give_up(client);
    }
    return set_up(client) || give_up(client);
}

static bool set_headers(struct http_client *client, struct curl_slist **headers)
{
    bool whole = curl_library_append(client->lib, headers, "Expect:");

    for (const char *const *header = client->request->headers; whole && header != NULL && *header != NULL;
         header++)
        whole = curl_library_append(client->lib, headers, *header);
    if (!whole)
        http_lacks_memory(client);
    client->lib->easy_setopt(client->curl, CURLOPT_HTTPHEADER, *headers);
    return whole;
}

bool http_set_request(struct http_client *client, struct curl_slist **headers_r)
{
    const struct curl_library *lib = client->lib;
    const struct http_request *request = client->request;
    bool bracketed = strchr(client->url.host, ':') != NULL;
    AUTO_FREE char *url =
        xasprintf("http%s://%s%s%s:%u%s", client->url.tls ? "s" : "", bracketed ? "[" : "", client->url.host,
                  bracketed ? "]" : "", client->url.port, client->url.path);

    *headers_r = NULL;
    set_protocols(client);
    lib->easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    if (request->body != NULL) {
        lib->easy_setopt(client->curl, CURLOPT_POSTFIELDS, request->body);
        lib->easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->length);
    }
    return set_text(client, CURLOPT_URL, url) && set_text(client, CURLOPT_CUSTOMREQUEST, request->method) &&
           set_headers(client, headers_r);
}

/* Why there is no answer, in words. connecting: the connection was still being made. */
static void explain(struct http_client *client, CURLcode result, bool connecting, const char *said)
{
    const struct tls_attachment *attachment = &client->attachment;
    long system_error = 0;
    curl_off_t connected_us = 0;
    char buffer[96], why[384];

    client->lib->easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &system_error);
    client->lib->easy_getinfo(client->curl, CURLINFO_CONNECT_TIME_T, &connected_us);
    if (client->url.tls && connecting && *attachment->error != '\0')
        snprintf(why, sizeof why, "%s", attachment->error);
    else if (result == CURLE_OPERATION_TIMEDOUT)
        snprintf(why, sizeof why, "no answer in time");
    else if (result == CURLE_COULDNT_CONNECT && system_error != 0)
        snprintf(why, sizeof why, "%s", strerror_r((int)system_error, buffer, sizeof buffer));
    else if (result == CURLE_OK) /* and yet no status: libcurl calls a header that ends early an answer */
        snprintf(why, sizeof why, "the answer was cut short");
    else
        snprintf(why, sizeof why, "%.250s", *said != '\0' ? said : client->lib->easy_strerror(result));
    snprintf(client->error, sizeof client->error, "%s%s at %.100s",
             client->url.tls && connecting && connected_us > 0 ? "TLS handshake failed: " : "", why,
             client->place);
}

bool http_perform(struct http_client *client, int64_t connect_ms)
{
    const struct curl_library *lib = client->lib;
    int64_t left_ms = client->deadline_ms - clock_monotonic_ms();
    char said[CURL_ERROR_SIZE] = "";
    curl_off_t sending_us = 0;
    curl_socket_t socket = CURL_SOCKET_BAD;
    long connections = 0;

    http_answer_reset(&client->answer, client->request->answer_max);
    *client->attachment.error = '\0';
    lib->easy_setopt(client->curl, CURLOPT_ERRORBUFFER, said);
    lib->easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
    lib->easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ms > 0 ? connect_ms : 1));
    CURLcode result = lib->easy_perform(client->curl);
    lib->easy_setopt(client->curl, CURLOPT_ERRORBUFFER, NULL);
    lib->easy_getinfo(client->curl, CURLINFO_PRETRANSFER_TIME_T, &sending_us);
    lib->easy_getinfo(client->curl, CURLINFO_ACTIVESOCKET, &socket);
    lib->easy_getinfo(client->curl, CURLINFO_NUM_CONNECTS, &connections);
    if (connections > 0)
        client->connected_ms = clock_monotonic_ms();
    client->kept = result == CURLE_OK && socket != CURL_SOCKET_BAD;
    client->answer.whole = result == CURLE_OK;
    if (client->answer.status == 0)
        explain(client, result, sending_us == 0, said);
    else if (client->kept && connections > 0 &&
             client->url.tls) /* tickets came with the answer, if any did */
        tls_keep_session(client->tls, client->attachment.ssl, &client->attachment.peer);
    return sending_us > 0 || client->answer.status != 0 || result == CURLE_PEER_FAILED_VERIFICATION ||
           result == CURLE_SSL_CERTPROBLEM;
}
