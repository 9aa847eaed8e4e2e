#include "event/event_client.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/xalloc.h"
#include "net/dns.h"
#include "net/http.h"
#include "net/sigpipe.h"
#include "net/tls.h"
#include "net/transport.h"

#define KEY_HEADER "X-SP-Event-ApiKey"
#define MASK "********"
#define COMPRESS_FROM 65536 /* bytes; below, it costs more time than it saves */

struct event_client {
    const struct config *config;
    struct http_url url;
    bool url_good;
    struct dns_resolver *resolver;
    struct tls_contexts *tls;
    struct transport transport;
    FILE *trace;
    const char *key;     /* of the request under way */
    int64_t deadline_ms; /* of the request under way */
    struct http_answer answer;
    char *(*compress)(const char *body, size_t length,
                      size_t *packed_length_r); /* NULL: nobody asked for it */
    bool takes_gzip;                            /* says the endpoint */
    char error[512];                            /* why there is no answer */
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

static void show(const struct event_client *client, char mark, const char *text, size_t length)
{
    size_t masked_length;

    if (client->trace == NULL)
        return;
    AUTO_FREE char *masked = mask_key(text, length, client->key, &masked_length);
    AUTO_FREE char *clean = xmalloc(masked_length * 3 + 1);
    utf8_clean(clean, masked_length * 3 + 1, masked, masked_length);
    fprintf(client->trace, "%c %s\n", mark, clean);
}

static void show_answer_line(void *context, const char *line, size_t length)
{
    show(context, '<', line, length);
}

/* --- the connection --------------------------------------------------------------------------------- */

static struct tls_peer peer_of(const struct event_client *client)
{
    return (struct tls_peer){.host = client->url.host,
                             .port = client->url.port,
                             .mode = "https",
                             .settings = &client->config->report.tls};
}

/* Each address gets its share of the time that is left, so that one which does not answer leaves some for the
 * next. */
static bool try_addresses(struct event_client *client, const struct dns_address *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t now = clock_monotonic_ms();
        int64_t share = (client->deadline_ms - now) / (int64_t)(count - i);
        if (transport_connect(&client->transport, &addresses[i], now + share) == TRANSPORT_OK) {
            show(client, '*', addresses[i].text, strlen(addresses[i].text));
            return true;
        }
        snprintf(client->error, sizeof client->error, "%s at %s[%s]:%u", client->transport.error,
                 client->url.host, addresses[i].text, client->url.port);
    }
    return false;
}

static bool connect_to_server(struct event_client *client)
{
    const struct config *config = client->config;
    struct dns_address *addresses = NULL;
    size_t count = 0;

    if (client->resolver == NULL)
        client->resolver = dns_open((const char *const *)config->dns.servers.items, config->dns.servers.count,
                                    (int)config->dns.timeout_ms);
    if (dns_addresses(client->resolver, client->url.host, client->url.port, client->deadline_ms, &addresses,
                      &count) != DNS_OK ||
        count == 0) {
        snprintf(client->error, sizeof client->error, "cannot resolve %s: %s", client->url.host,
                 dns_reason(client->resolver));
        free(addresses);
        return false;
    }
    bool connected = try_addresses(client, addresses, count);
    free(addresses);
    return connected;
}

static bool secure(struct event_client *client)
{
    struct tls_peer peer = peer_of(client);
    char why[384] = "", summary[96];

    if (!client->url.tls)
        return true;
    if (!tls_start(client->tls, &client->transport, &peer, client->deadline_ms, why, sizeof why)) {
        snprintf(client->error, sizeof client->error, "TLS handshake failed with %.100s: %s",
                 client->url.authority, why);
        return false;
    }
    tls_summary(&client->transport, summary, sizeof summary);
    show(client, '*', summary, strlen(summary));
    return true;
}

/* --- one request -------------------------------------------------------------------------------------- */

/* malloc'd; holds the key in the clear: wipe it. coding: "" or a field of its own with CRLF. */
static char *make_request(const struct event_client *client, const char *coding, const char *body,
                          size_t length, size_t *size_r)
{
    char *head =
        xasprintf("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: postfix-sendpost/" PACKAGE_VERSION
                  "\r\nAccept: application/json\r\nContent-Type: application/json\r\n%s%s%s%sContent-Length: "
                  "%zu\r\n\r\n",
                  client->url.path, client->url.authority, client->key != NULL ? KEY_HEADER ": " : "",
                  client->key != NULL ? client->key : "", client->key != NULL ? "\r\n" : "", coding, length);
    size_t head_length = strlen(head);
    char *request = xmalloc(head_length + length);

    for (char *line = head, *end; (end = strstr(line, "\r\n")) != NULL && end > line; line = end + 2)
        show(client, '>', line, (size_t)(end - line));
    memcpy(request, head, head_length);
    memcpy(request + head_length, body, length);
    *size_r = head_length + length;
    secret_free(&head);
    return request;
}

static void read_answer(struct event_client *client, bool kept)
{
    const struct tls_peer peer = peer_of(client);
    struct transport *transport = &client->transport;
    enum http_progress progress = HTTP_MORE;
    size_t used;

    while (progress == HTTP_MORE) {
        enum transport_status status = transport_fill(transport, client->deadline_ms);
        if (status == TRANSPORT_CLOSED) {
            progress = http_answer_end(&client->answer);
            snprintf(client->error, sizeof client->error, "%s", transport->error);
        } else if (status != TRANSPORT_OK) {
            progress = HTTP_BAD;
            snprintf(client->error, sizeof client->error, "%s", transport->error);
        } else {
            progress =
                http_answer_feed(&client->answer, transport->in + transport->in_start,
                                 transport->in_end - transport->in_start, &used, show_answer_line, client);
            transport->in_start += used;
            if (progress == HTTP_BAD)
                snprintf(client->error, sizeof client->error, "the answer is no HTTP");
        }
    }
    if (!kept && progress == HTTP_DONE) /* tickets came with the answer, if any did */
        tls_keep_session(client->tls, transport, &peer);
    if (progress != HTTP_DONE || !client->answer.keep || transport->in_start < transport->in_end)
        transport_close(&client->transport);
}

/*
 * One try. False: a connection that was kept from an earlier request turned out to be closed before anything
 * came back, so that the request is to be sent again over a new one (RFC 9112 section 9.3.1; event ids make
 * it harmless if it did arrive).
 */
static bool exchange(struct event_client *client, const char *request, size_t size)
{
    bool kept = client->transport.descriptor >= 0;

    http_answer_start(&client->answer);
    if (!kept && (!connect_to_server(client) || !secure(client))) {
        transport_close(&client->transport);
        return true;
    }
    /* a server may answer, and close, before it has read everything: its answer is wanted all the same */
    enum transport_status status = transport_write(&client->transport, request, size, client->deadline_ms);
    if (status == TRANSPORT_OK || status == TRANSPORT_CLOSED) {
        read_answer(client, kept);
    } else {
        snprintf(client->error, sizeof client->error, "%s", client->transport.error);
        transport_close(&client->transport);
    }
    return !kept || client->answer.begun || clock_monotonic_ms() >= client->deadline_ms;
}

static void post(struct event_client *client, const char *coding, const char *body, size_t length)
{
    size_t size;
    char *request = make_request(client, coding, body, length, &size);

    if (!exchange(client, request, size))
        exchange(client, request, size);
    explicit_bzero(request, size);
    free(request);
}

/* False: it has to be posted as it is. */
static bool post_compressed(struct event_client *client, const char *body, size_t length)
{
    AUTO_FREE char *packed = NULL;
    size_t packed_length;

    if (client->compress == NULL || !client->takes_gzip || length < COMPRESS_FROM)
        return false;
    packed = client->compress(body, length, &packed_length);
    if (packed == NULL)
        return false;
    post(client, "Content-Encoding: gzip\r\n", packed, packed_length);
    return !client->answer.head_done || client->answer.status != 415; /* it has changed its mind */
}

static void fill_answer(const struct event_client *client, struct event_answer *answer_r)
{
    const struct http_answer *answer = &client->answer;
    size_t length = answer->body_kept, key_length = client->key ? strlen(client->key) : 0;

    if (!answer->head_done) {
        snprintf(answer_r->text, sizeof answer_r->text, "no answer: %.*s", EVENT_ANSWER_TEXT_SIZE - 20,
                 client->error);
        return;
    }
    answer_r->status = answer->status;
    answer_r->retry_after_ms = http_retry_after_ms(answer->retry_after, time(NULL));
    if (answer->body_size > length) /* the beginning of a key at the cut would not be recognised */
        length -= key_length < length ? key_length : length;
    event_answer_describe(answer_r, client->key, answer->body, length);
}

/* --- interface ------------------------------------------------------------------------------------------ */

struct event_client *event_client_open(const struct config *config)
{
    struct event_client *client = xcalloc(1, sizeof *client);

    client->config = config;
    client->url_good = http_url_parse(config->endpoint, &client->url);
    client->tls = tls_contexts_new(config->state_dir);
    transport_init(&client->transport);
    return client;
}

void event_client_close(struct event_client *client)
{
    if (client == NULL)
        return;
    transport_close(&client->transport);
    tls_contexts_free(client->tls);
    dns_close(client->resolver);
    free(client);
}

void event_client_trace(struct event_client *client, FILE *trace)
{
    client->trace = trace;
}

void event_client_compress(struct event_client *client,
                           char *(*compress)(const char *body, size_t length, size_t *packed_length_r))
{
    client->compress = compress;
}

void event_client_post(struct event_client *client, const char *key, const char *body, size_t length,
                       int64_t timeout_ms, struct event_answer *answer_r)
{
    memset(answer_r, 0, sizeof *answer_r);
    if (!client->url_good || timeout_ms <= 0 || (key != NULL && strpbrk(key, "\r\n") != NULL)) {
        snprintf(answer_r->text, sizeof answer_r->text, "no answer: %s",
                 !client->url_good ? "the endpoint is no URL"
                 : timeout_ms <= 0 ? "no time is left"
                                   : "the key has several lines");
        return;
    }
    client->key = key;
    client->deadline_ms = clock_monotonic_ms() + timeout_ms;
    *client->error = '\0';
    struct sigpipe_guard guard;
    sigpipe_hold(&guard);
    if (!post_compressed(client, body, length))
        post(client, "", body, length);
    sigpipe_release(&guard);
    if (client->answer.head_done)
        client->takes_gzip = client->answer.takes_gzip;
    fill_answer(client, answer_r);
    show(client, '*', answer_r->text, strlen(answer_r->text));
    client->key = NULL;
}
