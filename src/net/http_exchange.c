/* http_client's other half: one request on one connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    AUTO_FREE char *masked =
        http_mask(text, length, client->request != NULL ? client->request->secrets : NULL, &masked_length);
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

/* --- the connection ------------------------------------------------------------------------------------- */

static struct tls_peer peer_of(const struct http_client *client)
{
    return (struct tls_peer){
        .host = client->url.host, .port = client->url.port, .mode = "https", .settings = client->settings};
}

/* Tickets come with the first answer, if any do. */
static void keep_session(struct http_client *client)
{
    const struct tls_peer peer = peer_of(client);

    if (client->transport.ssl != NULL && !client->session_kept)
        tls_keep_session(client->tls, client->transport.ssl, &peer);
    client->session_kept = true;
}

void http_disconnect(struct http_client *client)
{
    transport_close(&client->transport);
}

static void explain(struct http_client *client, const char *doing, const char *why)
{
    snprintf(client->error, sizeof client->error, "%s%.350s at %.100s", doing, why, client->place);
}

static enum http_contact start_tls(struct http_client *client, int64_t deadline_ms)
{
    const struct tls_peer peer = peer_of(client);
    char why[384];

    if (tls_start(client->tls, &client->transport, &peer, deadline_ms, why, sizeof why)) {
        tls_summary(client->transport.ssl, why, sizeof why);
        http_show(client, '*', why, strlen(why));
        return HTTP_CONNECTED;
    }
    const SSL *ssl = client->transport.ssl;
    bool refused = ssl == NULL || (client->settings->verify && SSL_get_verify_result(ssl) != X509_V_OK);
    explain(client, "TLS handshake failed: ", why);
    http_disconnect(client);
    return refused ? HTTP_NOT_TRUSTED : HTTP_NOT_REACHED;
}

enum http_contact http_connect(struct http_client *client, const struct dns_address *address,
                               int64_t deadline_ms)
{
    transport_init(&client->transport);
    client->session_kept = false;
    if (transport_connect(&client->transport, address, deadline_ms) != TRANSPORT_OK) {
        explain(client, "", client->transport.error);
        http_disconnect(client);
        return HTTP_NOT_REACHED;
    }
    client->connected_ms = clock_monotonic_ms();
    return client->url.tls ? start_tls(client, deadline_ms) : HTTP_CONNECTED;
}

/* --- the request ---------------------------------------------------------------------------------------- */

/* Host, with the port where it is not the usual one (RFC 9110 section 7.2). */
static char *host_of(const struct url *url)
{
    bool bracketed = strchr(url->host, ':') != NULL, usual = url->port == (url->tls ? 443 : 80);
    AUTO_FREE char *port = usual ? xstrdup("") : xasprintf(":%u", url->port);

    return xasprintf("%s%s%s%s", bracketed ? "[" : "", url->host, bracketed ? "]" : "", port);
}

static bool has_field(const struct http_request *request, const char *name)
{
    for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
        if (strncasecmp(*header, name, strlen(name)) == 0)
            return true;
    return false;
}

/* Head and body in one piece, which then is one TLS record or few. Of the keys in it no copy is left. */
static char *compose(const struct http_client *client, size_t *head_r, size_t *length_r)
{
    const struct http_request *request = client->request;
    AUTO_FREE char *host = host_of(&client->url);
    AUTO_FREE char *begin = xasprintf(
        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: postfix-sendpost/" PACKAGE_VERSION "\r\n%s",
        request->method, client->url.path, host, has_field(request, "Accept:") ? "" : "Accept: */*\r\n");
    AUTO_FREE char *end =
        request->body != NULL ? xasprintf("Content-Length: %zu\r\n\r\n", request->length) : xstrdup("\r\n");
    size_t body = request->body != NULL ? request->length : 0, head = strlen(begin) + strlen(end);

    for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
        head += strlen(*header) + 2;
    char *text = xmalloc(head + 1 + body), *at = stpcpy(text, begin);
    for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
        at = stpcpy(stpcpy(at, *header), "\r\n");
    at = stpcpy(at, end);
    if (body > 0)
        memcpy(at, request->body, body);
    *head_r = head;
    *length_r = head + body;
    return text;
}

static enum transport_status send_request(struct http_client *client)
{
    size_t head, length;
    char *text = compose(client, &head, &length);

    if (client->trace != NULL)
        show_lines(client, '>', text, head);
    enum transport_status status = transport_write(&client->transport, text, length, client->deadline_ms);
    explicit_bzero(text, length);
    free(text);
    return status;
}

/* --- the answer ----------------------------------------------------------------------------------------- */

static void on_line(void *context, const char *line, size_t length)
{
    show_lines(context, '<', line, length);
}

static enum http_progress read_answer(struct http_client *client, enum transport_status *status_r,
                                      bool *begun_r)
{
    struct transport *transport = &client->transport;
    enum http_progress progress = HTTP_MORE;

    while (progress == HTTP_MORE &&
           (*status_r = transport_fill(transport, client->deadline_ms)) == TRANSPORT_OK) {
        *begun_r = true;
        progress = http_reader_feed(&client->reader, transport->in + transport->in_start,
                                    transport->in_end - transport->in_start);
        transport->in_start = transport->in_end;
    }
    if (progress == HTTP_MORE && *status_r == TRANSPORT_CLOSED && *begun_r)
        progress = http_reader_end(&client->reader);
    return progress;
}

bool http_exchange(struct http_client *client)
{
    struct http_answer *answer = &client->answer;
    enum transport_status status = TRANSPORT_OK;
    bool begun = false;

    http_answer_reset(answer, client->request->answer_max);
    http_reader_begin(&client->reader, answer);
    client->reader.seen = client->trace != NULL ? on_line : NULL;
    client->reader.context = client;
    enum transport_status sent = send_request(client);
    /* a server may refuse what is too large before it has come, and closes then: its answer counts */
    enum http_progress progress =
        sent == TRANSPORT_TIMEOUT ? HTTP_MORE : read_answer(client, &status, &begun);
    answer->whole = progress == HTTP_WHOLE;
    if (answer->status == 0)
        explain(client, "",
                progress == HTTP_NONSENSE   ? "the answer is no HTTP"
                : progress == HTTP_TOO_MUCH ? "the answer has no end"
                                            : client->transport.error);
    if (answer->status != 0)
        keep_session(client);
    if (answer->whole && sent == TRANSPORT_OK && client->reader.stays)
        return true;
    http_disconnect(client);
    return begun || sent == TRANSPORT_TIMEOUT || status == TRANSPORT_TIMEOUT;
}
