#include "config/config_import.h"

#include <stdlib.h>

#include "base/xalloc.h"
#include "config/config.h"
#include "config/config_yaml.h"

static bool take(struct config_reader *reader, const yaml_node_t *root, const char *key, char **text_r)
{
    const struct config_place place = {.key = key};
    const yaml_node_t *node = config_yaml_find(reader, root, key);
    const char *text = node != NULL ? config_yaml_text(reader, &place, node) : NULL;

    if (node != NULL && text == NULL)
        return false;
    if (text != NULL && *text != '\0')
        *text_r = xstrdup(text);
    return true;
}

bool config_import_read(struct config_import *import_r, const char *path, struct outcome *error_r)
{
    struct config_sources sources = {.count = 0};
    struct config_reader reader;
    bool ok = false;

    *import_r = (struct config_import){.api_key = NULL};
    if (config_yaml_open(&reader, path, &sources, error_r)) {
        const yaml_node_t *root = config_yaml_root(&reader);
        ok = take(&reader, root, "api-key", &import_r->api_key) &&
             take(&reader, root, "mta", &import_r->mta) &&
             take(&reader, root, "endpoint", &import_r->endpoint) &&
             take(&reader, root, "log-path", &import_r->log_path);
        config_yaml_close(&reader);
    }
    for (size_t i = 0; i < sources.count; i++)
        free(sources.items[i].path);
    free(sources.items);
    if (!ok)
        config_import_free(import_r);
    return ok;
}

void config_import_free(struct config_import *import)
{
    secret_free(&import->api_key);
    free(import->mta);
    free(import->endpoint);
    free(import->log_path);
    *import = (struct config_import){.api_key = NULL};
}
