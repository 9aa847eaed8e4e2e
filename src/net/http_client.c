#include "net/http_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "net/http_client_private.h"
#include "net/sigpipe.h"

#define RETRY_AFTER_MAX_S 86400 /* what is above is no reasonable wish */
#define KEPT_MAX_MS 60000       /* then a connection is made anew, to where the name points by then */

/* --- addresses ----------------------------------------------------------------------------------------- */

static void try_address(struct http_client *client, const struct dns_address *address, int64_t share_ms,
                        bool *reached_r)
{
    const struct curl_library *lib = client->lib;
    bool v6 = address->address.ss_family == AF_INET6;
    AUTO_FREE char *entry = xasprintf("%s:%u:%s%s%s", client->url.host, client->url.port, v6 ? "[" : "",
                                      address->text, v6 ? "]" : "");
    struct curl_slist *addresses = NULL;

    if (!curl_library_append(lib, &addresses, entry)) {
        http_lacks_memory(client);
        return;
    }
    snprintf(client->place, sizeof client->place, "%s[%s]:%u", client->url.host, address->text,
             client->url.port);
    http_show(client, '*', client->place, strlen(client->place));
    /* a literal needs no entry, and one with colons cannot have one */
    lib->easy_setopt(client->curl, CURLOPT_RESOLVE,
                     strcmp(client->url.host, address->text) == 0 ? NULL : addresses);
    lib->easy_setopt(client->curl, CURLOPT_FRESH_CONNECT, 1L);
    *reached_r = http_perform(client, share_ms);
    lib->easy_setopt(client->curl, CURLOPT_FRESH_CONNECT, 0L);
    lib->easy_setopt(client->curl, CURLOPT_RESOLVE, NULL);
    lib->slist_free_all(addresses);
}

/* Each address gets its share of the time that is left, so that one which does not answer leaves some for the
 * next. */
static void try_addresses(struct http_client *client)
{
    const struct config *config = client->config;
    struct dns_address *addresses = NULL;
    size_t count = 0;
    bool reached = false;

    if (client->resolver == NULL)
        client->resolver = dns_open((const char *const *)config->dns.servers.items, config->dns.servers.count,
                                    (int)config->dns.timeout_ms);
    if (dns_addresses(client->resolver, client->url.host, client->url.port, client->deadline_ms, &addresses,
                      &count) != DNS_OK)
        count = 0;
    if (count == 0)
        snprintf(client->error, sizeof client->error, "cannot resolve %s: %s", client->url.host,
                 dns_reason(client->resolver));
    for (size_t i = 0; i < count && !reached; i++) {
        int64_t left_ms = client->deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            break;
        try_address(client, &addresses[i], left_ms / (int64_t)(count - i), &reached);
    }
    dns_addresses_free(addresses);
}

/* --- one request ---------------------------------------------------------------------------------------- */

static void exchange(struct http_client *client)
{
    bool sent = false;

    if (client->kept && clock_monotonic_ms() - client->connected_ms < KEPT_MAX_MS)
        /* one that the server closed meanwhile is made anew by libcurl, and what it did not answer on the old
         * one is sent again (RFC 9112 section 9.3.1): every user's requests bear being sent twice */
        sent = http_perform(client, client->deadline_ms - clock_monotonic_ms());
    if (!sent && clock_monotonic_ms() < client->deadline_ms)
        try_addresses(client);
}

static bool is_fit(struct http_client *client, struct url *url_r)
{
    const struct http_request *request = client->request;
    const char *why = NULL;

    if (url_parse(request->url, url_r) != URL_OK)
        why = "the address is no URL";
    if (request->timeout_ms <= 0)
        why = "no time is left";
    for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
        if (strpbrk(*header, "\r\n") != NULL)
            why = "the key has several lines";
    if (why != NULL)
        snprintf(client->error, sizeof client->error, "%s", why);
    return why == NULL;
}

static void run(struct http_client *client)
{
    struct url url;
    struct sigpipe_guard guard;
    struct curl_slist *headers = NULL;

    if (!is_fit(client, &url) || !http_load(client))
        return;
    client->kept = client->kept && url.tls == client->url.tls && url.port == client->url.port &&
                   strcmp(url.host, client->url.host) == 0;
    client->url = url;
    client->attachment.peer.port = url.port;
    if (http_set_request(client, &headers)) {
        sigpipe_hold(&guard);
        exchange(client);
        sigpipe_release(&guard);
    }
    client->lib->easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    client->lib->slist_free_all(headers);
}

static void describe(struct http_client *client)
{
    struct http_answer *answer = &client->answer;
    const char *const *secrets = client->request->secrets;
    curl_off_t wish_s = 0;
    size_t masked_length;

    if (answer->status == 0) {
        AUTO_FREE char *masked = http_mask(client->error, strlen(client->error), secrets, &masked_length);
        snprintf(answer->text, sizeof answer->text, "no answer: %.*s",
                 (int)(masked_length < HTTP_TEXT_SIZE - 20 ? masked_length : HTTP_TEXT_SIZE - 20), masked);
    } else if (client->request->secret_answer) {
        snprintf(answer->text, sizeof answer->text, "HTTP %d", answer->status);
    } else {
        http_answer_describe(answer, secrets);
    }
    if (answer->status != 0 &&
        client->lib->easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &wish_s) == CURLE_OK && wish_s > 0)
        answer->retry_after_ms = 1000 * (int64_t)(wish_s < RETRY_AFTER_MAX_S ? wish_s : RETRY_AFTER_MAX_S);
    http_show(client, '*', answer->text, strlen(answer->text));
}

/* --- interface -------------------------------------------------------------------------------------------
 */

struct http_client *http_client_open(const struct config *config, const struct config_tls *tls, FILE *trace)
{
    struct http_client *client = xcalloc(1, sizeof *client);

    client->config = config;
    client->settings = tls;
    client->trace = trace;
    client->tls = tls_contexts_new(config->state_dir);
    client->attachment = (struct tls_attachment){
        .contexts = client->tls,
        .peer = {.host = client->url.host, .mode = "https", .settings = tls},
    };
    return client;
}

static void join_loader(struct http_client *client)
{
    if (client->loading)
        pthread_join(client->loader, NULL);
    client->loading = false;
}

void http_client_close(struct http_client *client)
{
    if (client == NULL)
        return;
    join_loader(client);
    if (client->curl != NULL)
        client->lib->easy_cleanup(client->curl);
    http_answer_reset(&client->answer, 0);
    tls_contexts_free(client->tls);
    dns_close(client->resolver);
    free(client);
}

static void *load_library(void *nothing)
{
    const char *ignored;

    (void)nothing;
    curl_library(&ignored);
    return NULL;
}

bool http_client_is_prepared(const struct http_client *client)
{
    return client->curl != NULL || client->loading;
}

void http_client_prepare(struct http_client *client)
{
    if (!http_client_is_prepared(client)) /* without the thread it is loaded later */
        client->loading = pthread_create(&client->loader, NULL, load_library, NULL) == 0;
}

const struct http_answer *http_client_send(struct http_client *client, const struct http_request *request)
{
    client->request = request;
    client->deadline_ms = clock_monotonic_ms() + request->timeout_ms;
    *client->error = '\0';
    http_answer_reset(&client->answer, request->answer_max);
    run(client);
    describe(client);
    client->request = NULL;
    return &client->answer;
}
