/* config_import: what the configuration of SendPost's own agent says (/etc/sendpost-agent/config.yaml). */
#ifndef SENDPOST_CONFIG_CONFIG_IMPORT_H
#define SENDPOST_CONFIG_CONFIG_IMPORT_H

#include "base/outcome.h"

#define CONFIG_IMPORT_PATH "/etc/sendpost-agent/config.yaml"

/* Each NULL where it is not given; other keys are passed over. */
struct config_import {
    char *api_key; /* secret */
    char *mta, *endpoint, *log_path;
};

/* False with *error_r set: the file cannot be read, is no YAML, or holds what is no text. */
bool config_import_read(struct config_import *import_r, const char *path, struct outcome *error_r)
    __attribute__((nonnull));
void config_import_free(struct config_import *import) __attribute__((nonnull));

#endif
