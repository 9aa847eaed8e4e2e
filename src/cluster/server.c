#include "cluster/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

#define REPLY_MAX (64u << 20) /* nobody here asks for more; a server that sends more is none of ours */

void server_init(struct server *server, const struct hiredis_library *library)
{
    memset(server, 0, sizeof *server);
    server->library = library;
    transport_init(&server->transport);
}

void server_close(struct server *server)
{
    if (server->reader != NULL)
        server->library->reader_free(server->reader);
    server->reader = NULL;
    transport_close(&server->transport);
}

void server_reply_free(const struct server *server, struct redisReply *reply)
{
    if (reply != NULL)
        server->library->free_reply(reply);
}

__attribute__((format(printf, 2, 3))) static bool fail(struct server *server, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = snprintf(server->error, sizeof server->error, "%s: ", server->name);
    vsnprintf(server->error + length, sizeof server->error - (size_t)length, format, arguments);
    va_end(arguments);
    server_close(server);
    return false;
}

static const char *words_of(const struct transport *transport, enum transport_status status)
{
    return status == TRANSPORT_TIMEOUT  ? "no answer in time"
           : status == TRANSPORT_CLOSED ? "closed the connection"
                                        : transport->error;
}

/* --- commands and replies -------------------------------------------------------------------------- */

static struct redisReply *read_reply(struct server *server, int64_t deadline_ms)
{
    struct transport *transport = &server->transport;
    size_t received = 0;

    for (;;) {
        void *reply = NULL;
        if (server->library->reader_get_reply(server->reader, &reply) != REDIS_OK) {
            fail(server, "does not speak the protocol of Valkey and Redis: %s", server->reader->errstr);
            return NULL;
        }
        if (reply != NULL)
            return reply;
        enum transport_status status = transport_fill(transport, deadline_ms);
        if (status != TRANSPORT_OK) {
            fail(server, "%s", words_of(transport, status));
            return NULL;
        }
        received += transport->in_end - transport->in_start;
        if (received > REPLY_MAX ||
            server->library->reader_feed(server->reader, transport->in + transport->in_start,
                                         transport->in_end - transport->in_start) != REDIS_OK) {
            fail(server, "sends more than anybody asked for");
            return NULL;
        }
        transport->in_start = transport->in_end;
    }
}

struct redisReply *server_command(struct server *server, int count, const char *const *words,
                                  const size_t *lengths, int64_t deadline_ms)
{
    char *bytes = NULL;

    if (server->reader == NULL)
        return NULL; /* error is that of the call that ended the connection */
    int length = server->library->format_command(&bytes, count, (const char **)(uintptr_t)words, lengths);
    if (length < 0)
        xalloc_fail();
    enum transport_status status = transport_write(&server->transport, bytes, (size_t)length, deadline_ms);
    explicit_bzero(bytes, (size_t)length); /* it may have been a login */
    server->library->free_command(bytes);
    if (status != TRANSPORT_OK) {
        fail(server, "%s", words_of(&server->transport, status));
        return NULL;
    }
    return read_reply(server, deadline_ms);
}

/* --- who is at the other end ------------------------------------------------------------------------ */

static bool log_in(struct server *server, const struct config_cluster *cluster, int64_t deadline_ms)
{
    const char *words[3] = {"AUTH", cluster->username, cluster->password};

    if (cluster->password == NULL)
        return true;
    if (cluster->username == NULL)
        words[1] = cluster->password;
    struct redisReply *reply =
        server_command(server, cluster->username != NULL ? 3 : 2, words, NULL, deadline_ms);
    if (reply == NULL)
        return false;
    bool accepted = reply->type == REDIS_REPLY_STATUS;
    if (!accepted)
        fail(server, "Auth rejected: %.100s; check cluster: username and password-file",
             reply->type == REDIS_REPLY_ERROR ? reply->str : "an unexpected reply");
    server_reply_free(server, reply);
    return accepted;
}

/* The value of a line "name:value" of INFO; "" when it is not there. */
static void info_value(const char *info, const char *name, char *value_r, size_t size)
{
    size_t length = strlen(name);

    *value_r = '\0';
    for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) != 0 || line[length] != ':')
            continue;
        snprintf(value_r, size, "%.*s", (int)strcspn(line + length + 1, "\r\n"), line + length + 1);
        return;
    }
}

static bool is(const char *info, const char *name, const char *expected)
{
    char value[80];

    info_value(info, name, value, sizeof value);
    return strcmp(value, expected) == 0;
}

/* Limits that one server keeps are the limits of all only where it is the one, and forgets nothing. */
static bool is_fit(struct server *server, const char *info)
{
    char value[40];

    info_value(info, "run_id", server->run_id, sizeof server->run_id);
    info_value(info, "valkey_version", value, sizeof value);
    bool valkey = *value != '\0';
    if (!valkey)
        info_value(info, "redis_version", value, sizeof value);
    snprintf(server->version, sizeof server->version, "%s %.20s", valkey ? "valkey" : "redis", value);
    if (*server->run_id == '\0' || *value == '\0')
        return fail(server, "tells no run_id in INFO; allow the user +info");
    if (!is(info, "role", "master"))
        return fail(server, "is a replica");
    if (!is(info, "loading", "0"))
        return fail(server, "is still loading its data");
    if (is(info, "cluster_enabled", "1"))
        return fail(
            server,
            "runs in sharded cluster mode, which is not supported: give a server with cluster-enabled no");
    if (!is(info, "maxmemory", "0") && !is(info, "maxmemory_policy", "noeviction"))
        return fail(server,
                    "may throw keys away when its memory is full: set maxmemory-policy noeviction there");
    return true;
}

static bool meet(struct server *server, int64_t deadline_ms)
{
    static const char *const words[] = {"INFO"};
    struct redisReply *reply = server_command(server, 1, words, NULL, deadline_ms);
    bool fit = false;

    if (reply == NULL)
        return false;
    if (reply->type == REDIS_REPLY_STRING)
        fit = is_fit(server, reply->str);
    else
        fail(server, "refuses INFO: %.120s",
             reply->type == REDIS_REPLY_ERROR ? reply->str : "an unexpected reply");
    server_reply_free(server, reply);
    return fit;
}

/* --- the connection ------------------------------------------------------------------------------------ */

static bool connect_to(struct server *server, const struct server_peer *peer, int64_t deadline_ms)
{
    const struct config_server *config = &peer->cluster->servers[peer->index];
    enum transport_status status = TRANSPORT_FAILED;
    struct dns_address *addresses;
    size_t count;

    if (dns_addresses(peer->resolver, config->host, config->port, deadline_ms, &addresses, &count) != DNS_OK)
        return fail(server, "no address: %s", dns_reason(peer->resolver));
    for (size_t i = 0; i < count && status != TRANSPORT_OK; i++) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        status = transport_connect(&server->transport, &addresses[i],
                                   deadline_ms - left_ms + left_ms / (int64_t)(count - i));
    }
    dns_addresses_free(addresses);
    return status == TRANSPORT_OK || fail(server, "%s", words_of(&server->transport, status));
}

bool server_connect(struct server *server, const struct server_peer *peer, int64_t deadline_ms)
{
    const struct config_cluster *cluster = peer->cluster;
    const struct config_server *config = &cluster->servers[peer->index];
    char error[160];

    server_close(server);
    snprintf(server->name, sizeof server->name, strchr(config->host, ':') ? "[%.256s]:%u" : "%.256s:%u",
             config->host, config->port);
    if (!connect_to(server, peer, deadline_ms))
        return false;
    if (cluster->tls) {
        struct tls_peer tls = {
            .host = config->host, .port = config->port, .mode = "valkey", .settings = &cluster->tls_settings};
        enum transport_status ignored;
        if (tls_start(peer->tls, &server->transport, &tls, deadline_ms, &ignored, error, sizeof error) !=
            TLS_STARTED)
            return fail(server, "%s", error);
    }
    server->reader = server->library->reader_create();
    if (server->reader == NULL)
        xalloc_fail();
    return log_in(server, cluster, deadline_ms) && meet(server, deadline_ms);
}
