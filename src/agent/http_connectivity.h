/*
 * http_connectivity: the connectivity test that is asked for by HTTP: a body with host, port, security,
 * username, password, from and to becomes a full SMTP transaction, and that an answer in JSON
 * (data/openapi.yaml). Nothing of the password is in the answer or the log.
 *
 * Certificates are verified against the CA of the configured TPSP with the same host, else of the first one.
 * Two more keys are taken: "tls-verify" and "auth-without-tls", as in the configuration.
 */
#ifndef SENDPOST_AGENT_HTTP_CONNECTIVITY_H
#define SENDPOST_AGENT_HTTP_CONNECTIVITY_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define HTTP_CONNECTIVITY_BODY_MAX (16 * 1024)
#define HTTP_CONNECTIVITY_DEADLINE_MS 30000

/* Whether key, which may be NULL, is the configured event key; takes the same time whatever is wrong with
 * it. */
bool http_connectivity_key_matches(const struct config *config, const char *key) __attribute__((nonnull(1)));

/* Runs the test; up to HTTP_CONNECTIVITY_DEADLINE_MS. The answer is the caller's to free, *status_r its HTTP
 * status. */
char *http_connectivity_run(const struct config *config, const char *body, size_t length, unsigned *status_r)
    __attribute__((nonnull, returns_nonnull));

#endif
