/*
 * remedy: what mends a session with a TPSP that has failed: where in the configuration, and by which command.
 * Said alike by the log, `sendpostctl check` and `status`, /health and the status page.
 */
#ifndef SENDPOST_RELAY_REMEDY_H
#define SENDPOST_RELAY_REMEDY_H

#include "config/config.h"
#include "relay/relay.h"

/* The keys of the TPSP in which the trouble of this stage is, as a rule, "host, port"; NULL: in none. text:
 * what the outcome says. */
const char *relay_remedy_keys(enum relay_stage stage, const char *text) __attribute__((nonnull));

/* The command, with a word on what it is for; the answer in question is asked for anew, the others stay.
 * The caller frees. */
char *relay_remedy(const struct config_tpsp *tpsp, enum relay_stage stage, const char *text)
    __attribute__((nonnull, returns_nonnull));

#endif
