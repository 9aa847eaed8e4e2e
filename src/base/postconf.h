/*
 * postconf: settings of a Postfix on this machine, as postconf(1) tells them. It runs a program: not for what
 * is done for each message.
 */
#ifndef SENDPOST_BASE_POSTCONF_H
#define SENDPOST_BASE_POSTCONF_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Values of count parameters of main.cf, $names expanded, each for the caller to free; NULL for one that
 * Postfix does not know. directory: of its configuration, NULL for the default one ($MAIL_CONFIG, or
 * /etc/postfix). False, and all NULL, when postconf cannot tell: there is no Postfix, or its configuration is
 * broken.
 */
bool postconf_values(const char *directory, const char *const names[], size_t count, char *values_r[])
    __attribute__((nonnull(2, 4)));

/* Flags of pipe(8) that change the message or the addresses; q, which quotes them, is the one we want. */
#define POSTCONF_ALTERING_FLAGS "BDFORXhu.>"

#endif
