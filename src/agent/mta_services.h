/*
 * mta_services: what is wrong with the services of Postfix's master.cf that run our programs, where no line
 * of its log ever says so: flags that alter mail, and bounces that are taken in with nobody to read them.
 * Only what anybody may read is looked at; `sendpostctl check` sees more.
 */
#ifndef SENDPOST_AGENT_MTA_SERVICES_H
#define SENDPOST_AGENT_MTA_SERVICES_H

#include "config/config.h"

/* services: as `postconf -M` prints them. taken: the domains that this Postfix takes mail for, as its lists
 * name them; tables are not asked. What is wrong, with its remedy, for the caller to free; NULL: nothing. */
char *mta_services_trouble(const struct config *config, const char *services, const char *taken)
    __attribute__((nonnull));

#endif
