/* The servers through which several hosts share limits and suppression. */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "config/config_schema.h"

#define PORT "6379"

/* "host", "host:port", "[address]:port" */
static CONFIG_READER(read_server)
{
    struct config_server *server = field;
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
    bool has_port = colon != NULL && (bracket != NULL ? colon == bracket + 1 : strchr(text, ':') == colon);
    char *end = NULL;
    unsigned long port = strtoul(has_port ? colon + 1 : PORT, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535)
        return config_fail(reader, place, node, "\"%.60s\": the port is no number from 1 to 65535", text);
    AUTO_FREE char *host = xstrndup(text, has_port ? (size_t)(colon - text) : strlen(text));
    if (!config_host_valid(host))
        return config_fail(reader, place, node,
                           "\"%.60s\" is no server: valkey.example.net:6379, 192.0.2.1, [2001:db8::1]:6379",
                           text);
    server->port = (uint16_t)port;
    if (*host == '[')
        server->host = xstrndup(host + 1, strlen(host) - 2);
    else
        server->host = xstrdup(host);
    return true;
}

static CONFIG_READER(read_servers)
{
    struct config_cluster *cluster = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count == 0)
        return config_fail(reader, place, node, "is empty; give %s", key->needed);
    cluster->servers = xcalloc(count, sizeof cluster->servers[0]);
    cluster->server_count = count;
    return config_yaml_each(reader, place, node, read_server, key, cluster->servers,
                            sizeof cluster->servers[0]);
}

static const char *const when_away[] = {"hold", "share", NULL};

#define FIELD(member) .offset = offsetof(struct config_cluster, member)

static const struct config_key cluster_keys[] = {
    {"servers", .read = read_servers,
     .needed = "at least one Valkey or Redis server: [valkey.example.net:6379]"},
    {"tls", .read = config_read_bool, FIELD(tls), .default_text = "true"},
    {"tls-verify", .read = config_read_bool, FIELD(tls_settings.verify), .default_text = "true"},
    {"tls-ca-path", .read = config_read_directory, FIELD(tls_settings.ca_path)},
    {"tls-ca-file", .read = config_read_file, FIELD(tls_settings.ca_file)},
    {"username", .read = config_read_text, FIELD(username)},
    {"password", .read = config_read_secret, FIELD(password)},
    {"password-file", .read = config_read_secret_file, FIELD(password)},
    {"name", .read = config_read_name, FIELD(name), .default_text = "sendpost"},
    {"when-away", .read = config_read_word, FIELD(when_away), .detail = when_away, .default_text = "hold"},
    {"share", .read = config_read_share, FIELD(share_ppm), .default_text = "0.5"},
    {.name = NULL},
};

CONFIG_READER(config_read_cluster)
{
    struct config_cluster *cluster = field;

    (void)key;
    if (!config_yaml_mapping(reader, place, node, cluster_keys, cluster))
        return false;
    if (cluster->username != NULL && cluster->password == NULL)
        return config_fail_key(reader, place, node, "password-file", "is missing; the username needs it");
    return config_check_tls(reader, place, node, &cluster->tls_settings);
}

void config_cluster_free(struct config_cluster *cluster)
{
    for (size_t i = 0; i < cluster->server_count; i++)
        free(cluster->servers[i].host);
    free(cluster->servers);
    free(cluster->tls_settings.ca_path);
    free(cluster->tls_settings.ca_file);
    free(cluster->username);
    secret_free(&cluster->password);
    free(cluster->name);
}
