/* Where the token for a login comes from, when it is fetched and renewed (RFC 6749). */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/xalloc.h"
#include "config/config_schema.h"

#define FIELD(member) .offset = offsetof(struct config_oauth, member)

/* One that is not there yet is written by the first login. */
static CONFIG_READER(read_refresh_file)
{
    struct config_oauth *oauth = field;
    struct stat status;

    if (!config_read_absolute_path(reader, place, node, key, &oauth->refresh_token_path))
        return false;
    if (stat(oauth->refresh_token_path, &status) != 0 && errno == ENOENT) {
        config_note_source(reader, oauth->refresh_token_path, &(struct stat){0});
        return true;
    }
    return config_read_secret_file(reader, place, node, key, &oauth->refresh_token);
}

static const struct config_key oauth_keys[] = {
    {"token-endpoint", .read = config_read_url, FIELD(token_endpoint),
     .needed = "the URL at which the provider gives out tokens"},
    {"client-id", .read = config_read_text, FIELD(client_id),
     .needed = "the identifier under which the provider knows this installation"},
    {"client-secret", .read = config_read_secret, FIELD(client_secret)},
    {"client-secret-file", .read = config_read_secret_file, FIELD(client_secret)},
    {"refresh-token", .read = config_read_secret, FIELD(refresh_token)},
    {"refresh-token-file", .read = read_refresh_file},
    {"device-endpoint", .read = config_read_url, FIELD(device_endpoint)},
    {"scope", .read = config_read_text, FIELD(scope)},
    {"tls-ca-path", .read = config_read_directory, FIELD(tls.ca_path)},
    {"tls-ca-file", .read = config_read_file, FIELD(tls.ca_file)},
    {.name = NULL},
};

#undef FIELD

CONFIG_READER(config_read_oauth)
{
    struct config_oauth *oauth = field;

    (void)key;
    if (!config_yaml_mapping(reader, place, node, oauth_keys, oauth))
        return false;
    if (oauth->refresh_token_path != NULL && oauth->refresh_token == NULL && oauth->device_endpoint == NULL)
        return config_fail_key(
            reader, place, node, "refresh-token-file",
            "is not there; with a device-endpoint sendpostctl setup --oauth would make it");
    if (oauth->refresh_token == NULL && oauth->refresh_token_path == NULL && oauth->client_secret == NULL)
        return config_fail_key(reader, place, node, "refresh-token-file",
                               "is missing; without it client-secret-file is needed");
    oauth->tls.verify = true;
    return config_check_tls(reader, place, node, &oauth->tls);
}

void config_oauth_free(struct config_oauth *oauth)
{
    free(oauth->token_endpoint);
    free(oauth->client_id);
    secret_free(&oauth->client_secret);
    secret_free(&oauth->refresh_token);
    free(oauth->refresh_token_path);
    free(oauth->device_endpoint);
    free(oauth->scope);
    free(oauth->tls.ca_path);
    free(oauth->tls.ca_file);
}
