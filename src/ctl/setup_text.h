/* setup_text: the answers of setup as the text of a configuration: a new one, or changes in the one that is
 * there. */
#ifndef SENDPOST_CTL_SETUP_TEXT_H
#define SENDPOST_CTL_SETUP_TEXT_H

#include "ctl/setup.h"

struct setup_secrets {
    const char *password, *client_secret, *refresh_token, *api_key,
        *uuid_key; /* files; NULL: none is named, or what is named stays */
};

/* The caller frees. NULL: the configuration is laid out in a way that cannot be changed here. */
char *setup_text(const struct setup *setup, const struct setup_secrets *files) __attribute__((nonnull));

#endif
