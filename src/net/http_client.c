#include "net/http_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "net/http_client_private.h"
#include "net/sigpipe.h"

#define KEPT_MAX_MS 60000 /* then a connection is made anew, to where the name points by then */

/* --- addresses ----------------------------------------------------------------------------------------- */

static enum http_contact try_address(struct http_client *client, const struct dns_address *address,
                                     int64_t share_ms)
{
    snprintf(client->place, sizeof client->place, "%s[%s]:%u", client->url.host, address->text,
             client->url.port);
    http_show(client, '*', client->place, strlen(client->place));
    return http_connect(client, address, clock_monotonic_ms() + share_ms);
}

/* Each address gets its share of the time that is left, so that one which does not answer leaves some for the
 * next. */
static bool try_addresses(struct http_client *client)
{
    const struct config *config = client->config;
    struct dns_address *addresses = NULL;
    size_t count = 0;
    enum http_contact contact = HTTP_NOT_REACHED;

    if (client->resolver == NULL)
        client->resolver = dns_open((const char *const *)config->dns.servers.items, config->dns.servers.count,
                                    (int)config->dns.timeout_ms);
    if (dns_addresses(client->resolver, client->url.host, client->url.port, client->deadline_ms, &addresses,
                      &count) != DNS_OK)
        count = 0;
    if (count == 0)
        snprintf(client->error, sizeof client->error, "cannot resolve %s: %s", client->url.host,
                 dns_reason(client->resolver));
    for (size_t i = 0; i < count && contact == HTTP_NOT_REACHED; i++) {
        int64_t left_ms = client->deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            break;
        contact = try_address(client, &addresses[i], left_ms / (int64_t)(count - i));
    }
    dns_addresses_free(addresses);
    return contact == HTTP_CONNECTED;
}

/* --- one request ---------------------------------------------------------------------------------------- */

/* Whether the kept connection leads to where the request goes, is young enough, and nothing came over it that
 * nobody asked for: its end, as a rule. */
static bool may_go_on(struct http_client *client, const struct url *url)
{
    return client->transport.descriptor >= 0 && url->tls == client->url.tls &&
           url->port == client->url.port && strcmp(url->host, client->url.host) == 0 &&
           clock_monotonic_ms() - client->connected_ms < KEPT_MAX_MS &&
           !transport_has_input(&client->transport);
}

/* What the server did not answer on a kept connection is sent again on a new one (RFC 9112 section 9.3.1):
 * every user's requests bear being sent twice. */
static void exchange(struct http_client *client, bool kept)
{
    if (kept && http_exchange(client))
        return;
    if (try_addresses(client))
        http_exchange(client);
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

    if (!is_fit(client, &url))
        return;
    sigpipe_hold(&guard);
    bool kept = may_go_on(client, &url);
    client->url = url;
    if (!kept)
        http_disconnect(client);
    exchange(client, kept);
    sigpipe_release(&guard);
}

static void describe(struct http_client *client)
{
    struct http_answer *answer = &client->answer;
    const char *const *secrets = client->request->secrets;
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
    transport_init(&client->transport);
    return client;
}

static void *connect_ahead(void *argument)
{
    struct http_client *client = argument;
    struct sigpipe_guard guard;

    sigpipe_hold(&guard);
    try_addresses(client);
    sigpipe_release(&guard);
    return NULL;
}

static void await_connector(struct http_client *client)
{
    if (client->connecting)
        pthread_join(client->connector, NULL);
    client->connecting = false;
}

bool http_client_is_connected(const struct http_client *client)
{
    return client->connecting || client->transport.descriptor >= 0;
}

void http_client_prepare(struct http_client *client, const char *url, int64_t timeout_ms)
{
    if (http_client_is_connected(client) || client->trace != NULL || url_parse(url, &client->url) != URL_OK)
        return;
    client->deadline_ms = clock_monotonic_ms() + timeout_ms;
    client->connecting = pthread_create(&client->connector, NULL, connect_ahead, client) == 0;
}

void http_client_close(struct http_client *client)
{
    struct sigpipe_guard guard;

    if (client == NULL)
        return;
    await_connector(client);
    sigpipe_hold(&guard);
    http_disconnect(client);
    sigpipe_release(&guard);
    http_answer_reset(&client->answer, 0);
    tls_contexts_free(client->tls);
    dns_close(client->resolver);
    free(client);
}

const struct http_answer *http_client_send(struct http_client *client, const struct http_request *request)
{
    int64_t deadline_ms = clock_monotonic_ms() + request->timeout_ms;

    await_connector(client);
    client->request = request;
    client->deadline_ms = deadline_ms;
    *client->error = '\0';
    http_answer_reset(&client->answer, request->answer_max);
    run(client);
    describe(client);
    client->request = NULL;
    return &client->answer;
}
