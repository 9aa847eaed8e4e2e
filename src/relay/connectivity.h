/*
 * connectivity: one real SMTP transaction with a minimal message, step by step, for a person who wants to
 * know whether a TPSP can be used and, if not, why. The same relay as for deliveries; `sendpostctl test` and
 * the agent's test endpoint (data/openapi.yaml) show it.
 */
#ifndef SENDPOST_RELAY_CONNECTIVITY_H
#define SENDPOST_RELAY_CONNECTIVITY_H

#include <json-c/json.h>

#include "relay/relay.h"

#define CONNECTIVITY_STEPS 64 /* each stage once, and up to four for each address that was passed over */

struct connectivity_step {
    enum relay_stage stage;
    bool ok;
    int64_t duration_us;
    int smtp_code;
    char *detail;
};

struct connectivity {
    bool ok; /* the message was accepted */
    struct connectivity_step steps[CONNECTIVITY_STEPS];
    size_t step_count;
    struct relay_result result;
    char error[64];     /* the words to look up, "Auth rejected"; "" when ok */
    const char *advice; /* what to do about it; NULL when ok */
};

struct connectivity_request {
    struct relay_session *session;
    const struct config_tpsp *tpsp;
    /* of the test message, both valid addresses; recipient NULL: none is sent, only the session is tried */
    const char *sender, *recipient;
    int64_t deadline_ms;
    FILE *trace; /* NULL: none */
    /* each step when it is over; NULL: they are looked at afterwards */
    void (*show)(void *context, const struct connectivity_step *step);
    void *context;
};

/* The result is to be freed. */
void connectivity_test(struct connectivity *test_r, const struct connectivity_request *request)
    __attribute__((nonnull));
void connectivity_free(struct connectivity *test) __attribute__((nonnull));

/* {"ok", "stage", "error", "advice", "smtp_code", "smtp_description", "tls", "steps": […]}; the caller owns
 * it. */
struct json_object *connectivity_json(const struct connectivity *test) __attribute__((nonnull));

#endif
