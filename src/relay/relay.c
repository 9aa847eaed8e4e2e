#include "relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/sigpipe.h"
#include "base/tls.h"
#include "base/xalloc.h"
#include "relay/conversation.h"
#include "relay/engine.h"
#include "relay/wire.h"

struct relay_session {
    struct dns_resolver *resolver;
    struct tls_contexts *tls;
};

const char *relay_stage_name(enum relay_stage stage)
{
    static const char *const names[RELAY_STAGE_COUNT] = {
        [RELAY_RESOLVE] = "resolve",   [RELAY_CONNECT] = "connect", [RELAY_TLS] = "tls",
        [RELAY_GREETING] = "greeting", [RELAY_EHLO] = "ehlo",       [RELAY_STARTTLS] = "starttls",
        [RELAY_AUTH] = "auth",         [RELAY_MAIL] = "mail",       [RELAY_RCPT] = "rcpt",
        [RELAY_DATA] = "data",         [RELAY_QUIT] = "quit"};

    return (unsigned)stage < RELAY_STAGE_COUNT ? names[stage] : "unknown";
}

struct relay_session *relay_open(const char *state_dir, struct dns_resolver *resolver)
{
    struct relay_session *session = xcalloc(1, sizeof *session);

    session->resolver = resolver;
    session->tls = tls_contexts_new(state_dir);
    return session;
}

void relay_close(struct relay_session *session)
{
    if (session == NULL)
        return;
    tls_contexts_free(session->tls);
    free(session);
}

/* Nothing that could end a command line or begin another may get into one; validation upstream has said so already. */
static bool addresses_fit(const struct relay_request *request, struct outcome *outcome_r)
{
    const char *why;

    if (!address_valid(request->recipient, &why)) {
        outcome_set(outcome_r, OUTCOME_DROPPED, CAUSE_MESSAGE, 0, "5.1.3",
                    "the recipient address cannot be sent to: %s", why);
        return false;
    }
    if (*request->sender != '\0' && !address_valid(request->sender, &why)) {
        outcome_set(outcome_r, OUTCOME_DROPPED, CAUSE_MESSAGE, 0, "5.1.7",
                    "the sender address cannot be used: %s", why);
        return false;
    }
    return true;
}

/*
 * libcurl would fall back to sending such an address as it is. The message is dropped for this TPSP; the pool goes on to
 * the next one, which may offer SMTPUTF8. It is no trouble of the host: its circuit breaker must not open because of
 * the addresses that somebody writes to.
 */
static bool can_take_addresses(struct wire *wire)
{
    const struct relay_request *request = wire->request;

    if (wire->capabilities.smtputf8 ||
        (address_is_ascii(request->sender) && address_is_ascii(request->recipient)))
        return true;
    wire_stage_begin(wire, RELAY_MAIL);
    outcome_set(&wire->outcome, OUTCOME_DROPPED, CAUSE_MESSAGE, 0, "5.6.7",
                "%s does not offer SMTPUTF8, which an address that is not ASCII needs", wire->peer);
    return wire_stage_failed(wire);
}

static enum conversation_end attempt(struct relay_session *session, const struct relay_request *request,
                                     const struct engine *engine, struct relay_result *result_r)
{
    enum conversation_end end = CONVERSATION_OVER;
    AUTO_FREE struct wire *wire = xmalloc(sizeof *wire);

    wire_init(wire, request, session->tls, session->resolver);
    if (wire_open(wire) && can_take_addresses(wire)) {
        result_r->engine = engine->name;
        end = conversation_run(wire, engine);
    }
    wire_close(wire);
    result_r->outcome = wire->outcome;
    result_r->stage = wire->stage;
    result_r->contacted |= wire->contacted;
    memcpy(result_r->peer, wire->peer, sizeof result_r->peer);
    memcpy(result_r->tls, wire->tls_text, sizeof result_r->tls);
    return end;
}

void relay_send(struct relay_session *session, const struct relay_request *request,
                struct relay_result *result_r)
{
    const struct engine *engine;
    struct sigpipe_guard guard;

    *result_r = (struct relay_result){.stage = RELAY_RESOLVE, .engine = ""};
    outcome_local(&result_r->outcome, "4.3.0", "the delivery was not attempted");
    if (!addresses_fit(request, &result_r->outcome))
        return;
    sigpipe_hold(&guard);
    engine = engine_choose(request->tpsp->engine, engine_needs(request));
    /* an engine that was caught doing wrong, or misses a plug-in, has delivered nothing: the other one may try */
    if (attempt(session, request, engine, result_r) == CONVERSATION_ENGINE_FAILED && engine != &engine_curl)
        attempt(session, request, &engine_curl, result_r);
    sigpipe_release(&guard);
}
