/* SendPost's own API: where it is, and what is taken from it. */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "config/config_schema.h"

static CONFIG_READER(read_synced)
{
    struct config_sendpost *sendpost = field;
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (strcmp(text, "suppression") == 0)
        sendpost->suppression = true;
    else if (strcmp(text, "domains") == 0)
        sendpost->domains = true;
    else
        return config_fail(reader, place, node, "\"%.60s\" is none of suppression, domains", text);
    return true;
}

static CONFIG_READER(read_sync)
{
    size_t count;

    return config_yaml_list(reader, place, node, &count) &&
           config_yaml_each(reader, place, node, read_synced, key, field, 0);
}

#define FIELD(member) .offset = offsetof(struct config_sendpost, member)

static const struct config_key sendpost_keys[] = {
    {"endpoint", .read = config_read_url, FIELD(endpoint), .default_text = "https://api.sendpost.io/api/v1"},
    {"subaccount-api-key", .read = config_read_secret, FIELD(key)},
    {"subaccount-api-key-file", .read = config_read_secret_file, FIELD(key)},
    {"sync", .read = read_sync, .needed = "what is to be the same here and there: [suppression, domains]"},
    {"interval", .read = config_read_duration, FIELD(interval_ms), .min = 10000, .max = 86400000,
     .default_text = "5m"},
    {"tls-ca-path", .read = config_read_directory, FIELD(tls.ca_path)},
    {"tls-ca-file", .read = config_read_file, FIELD(tls.ca_file)},
    {.name = NULL},
};

#undef FIELD

CONFIG_READER(config_read_sendpost)
{
    struct config_sendpost *sendpost = field;

    (void)key;
    if (!config_yaml_mapping(reader, place, node, sendpost_keys, sendpost))
        return false;
    if (sendpost->key == NULL && !reader->credentials_elsewhere)
        return config_fail_key(reader, place, node, "subaccount-api-key-file",
                               "is missing; SendPost shows the API key of the sub-account");
    sendpost->tls.verify = true;
    return config_check_tls(reader, place, node, &sendpost->tls);
}

void config_sendpost_free(struct config_sendpost *sendpost)
{
    free(sendpost->endpoint);
    secret_free(&sendpost->key);
    free(sendpost->tls.ca_path);
    free(sendpost->tls.ca_file);
}
