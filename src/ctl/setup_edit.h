/*
 * setup_edit: changes single values of a configuration as text, so that its comments and all else stay as the
 * postmaster has written them. Knows block style, one key a line, as setup and the example have it; what is
 * laid out otherwise is left alone. Whether the result says what it should is for config_load() to tell.
 */
#ifndef SENDPOST_CTL_SETUP_EDIT_H
#define SENDPOST_CTL_SETUP_EDIT_H

#include <stdbool.h>

/* Each replaces *text by a changed copy. value: as YAML wants it; NULL: the key goes, if it is there. False:
 * no place for it was found. */
bool setup_edit_top(char **text, const char *key, const char *value) __attribute__((nonnull(1, 2)));
/* The key of the TPSP with this name. */
bool setup_edit_tpsp(char **text, const char *name, const char *key, const char *value)
    __attribute__((nonnull(1, 2, 3)));
/* Lines of an item, each beginning with a key, behind the last TPSP. */
bool setup_edit_add_tpsp(char **text, const char *lines) __attribute__((nonnull));

#endif
