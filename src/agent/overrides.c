#include "agent/overrides.h"

#include <stdlib.h>
#include <string.h>

#include "base/url.h"
#include "base/xalloc.h"

void overrides_take_key(struct overrides *overrides, char *text)
{
    secret_free(&overrides->api_key);
    overrides->api_key = xstrdup(text);
    explicit_bzero(text, strlen(text));
}

static bool refuse(struct outcome *error_r, const char *option, const char *why)
{
    outcome_local(error_r, "4.3.5", "--%s %s", option, why);
    return false;
}

static void replace(char **field, const char *text)
{
    free(*field);
    *field = text != NULL ? xstrdup(text) : NULL;
}

static bool apply_endpoint(const char *text, struct config *config, struct outcome *error_r)
{
    struct url url;

    if (strcmp(text, "none") == 0) {
        replace(&config->endpoint, NULL);
        return true;
    }
    if (url_parse(text, &url) != URL_OK)
        return refuse(error_r, "endpoint", "is no URL of the form https://HOST[:PORT]/PATH");
    if (!url.tls && strcmp(url.host, "localhost") != 0 && strcmp(url.host, "::1") != 0 &&
        strncmp(url.host, "127.", 4) != 0)
        return refuse(error_r, "endpoint", "would send the key unencrypted; write https://");
    replace(&config->endpoint, text);
    return true;
}

bool overrides_apply(const struct overrides *overrides, struct config *config, struct outcome *error_r)
{
    const char *key = overrides->api_key;

    if (overrides->mta != NULL && strcmp(overrides->mta, "postfix") != 0)
        return refuse(error_r, "mta", "names a mail server whose log is not understood; postfix is");
    if (overrides->log_path != NULL && *overrides->log_path != '/' &&
        strcmp(overrides->log_path, "journal") != 0)
        return refuse(error_r, "log-path", "is no absolute path, and not the word journal");
    for (const char *at = key; at != NULL && *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 127)
            return refuse(error_r, "api-key", "holds a space or a control character");
    if (key != NULL && *key == '\0')
        return refuse(error_r, "api-key", "is empty");
    if (overrides->endpoint != NULL && !apply_endpoint(overrides->endpoint, config, error_r))
        return false;
    if (overrides->log_path != NULL)
        replace(&config->log_path, overrides->log_path);
    if (key != NULL) {
        secret_free(&config->api_key);
        config->api_key = xstrdup(key);
    }
    return true;
}
