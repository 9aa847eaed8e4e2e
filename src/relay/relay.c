#include "relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "net/sigpipe.h"
#include "net/tls.h"
#include "relay/conversation.h"
#include "relay/engine.h"
#include "relay/verdict.h"
#include "relay/wire.h"

/*
 * What a new connection confirmed is believed of kept ones for a while: or each of a thousand unknown
 * recipients would cost a login.
 */
#define BELIEF_MS 60000
#define BELIEFS 16

struct belief {
    const struct config_tpsp *tpsp; /* NULL: none */
    enum relay_stage stage;
    int code;
    uint64_t words;
    int64_t until_ms;
};

/* A connection between two deliveries. */
struct kept {
    struct kept *next;
    struct wire *wire;
    int64_t since_ms;
};

struct relay_session {
    struct dns_resolver *resolver;
    struct tls_contexts *tls;
    struct verdict_rules *rules;
    int64_t idle_ms; /* to keep a connection for; 0: none is kept */
    struct kept *kept;
    struct belief beliefs[BELIEFS];
    size_t next_belief;
    struct oauth *oauth; /* NULL: nobody has tokens to give */
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

struct relay_session *relay_open(const char *state_dir, const char *config_path,
                                 struct dns_resolver *resolver)
{
    struct relay_session *session = xcalloc(1, sizeof *session);

    session->resolver = resolver;
    session->tls = tls_contexts_new(state_dir);
    session->rules = verdict_rules_new(config_path);
    return session;
}

void relay_close(struct relay_session *session)
{
    if (session == NULL)
        return;
    relay_keep_connections(session, 0);
    tls_contexts_free(session->tls);
    verdict_rules_free(session->rules);
    free(session);
}

/* Nothing that could end a command line or begin another may get into one; validation upstream has said so
 * already. */
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
 * libcurl would fall back to sending such an address as it is. The message is dropped for this TPSP; the pool
 * goes on to the next one, which may offer SMTPUTF8. It is no trouble of the host: its circuit breaker must
 * not open because of the addresses that somebody writes to.
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

/* --- connections that are kept ------------------------------------------------------------------- */

static void discard(struct wire *wire)
{
    wire_close(wire);
    free(wire);
}

/* The wire that was kept for this TPSP, if there is one; it is nobody's but the caller's now. */
static struct wire *take_kept(struct relay_session *session, const struct config_tpsp *tpsp)
{
    for (struct kept **link = &session->kept; *link != NULL; link = &(*link)->next) {
        struct kept *kept = *link;
        struct wire *wire = kept->wire;

        if (wire->tpsp != tpsp)
            continue;
        bool fresh = clock_monotonic_ms() - kept->since_ms <= session->idle_ms;
        *link = kept->next;
        free(kept);
        if (fresh)
            return wire;
        discard(wire);
        return NULL;
    }
    return NULL;
}

static void keep_or_close(struct relay_session *session, struct wire *wire, bool may_stay)
{
    unsigned limit = wire->request->session_limit;

    if (session->idle_ms == 0 || !may_stay || !wire_can_stay(wire) ||
        (limit > 0 && wire->served + 1 >= limit)) {
        discard(wire);
        return;
    }
    wire_rest(wire);
    struct kept *kept = xmalloc(sizeof *kept);
    *kept = (struct kept){.next = session->kept, .wire = wire, .since_ms = clock_monotonic_ms()};
    session->kept = kept;
}

void relay_keep_connections(struct relay_session *session, int64_t idle_ms)
{
    struct sigpipe_guard guard;

    session->idle_ms = idle_ms;
    sigpipe_hold(&guard);
    while (idle_ms == 0 && session->kept != NULL) {
        struct kept *kept = session->kept;
        session->kept = kept->next;
        discard(kept->wire);
        free(kept);
    }
    sigpipe_release(&guard);
}

bool relay_keeps(const struct relay_session *session, const struct config_tpsp *tpsp)
{
    const struct kept *kept = session->kept;

    while (kept != NULL && kept->wire->tpsp != tpsp)
        kept = kept->next;
    return kept != NULL;
}

void relay_end_kept(struct relay_session *session, const struct config_tpsp *tpsp)
{
    struct sigpipe_guard guard;

    sigpipe_hold(&guard);
    struct wire *wire = take_kept(session, tpsp);
    if (wire != NULL)
        discard(wire);
    sigpipe_release(&guard);
}

/* --- one delivery ------------------------------------------------------------------------------------ */

enum attempt_end {
    ATTEMPT_OVER,
    ATTEMPT_ENGINE_FAILED, /* nothing was delivered, another engine may do better */
    ATTEMPT_STALE,         /* the kept connection was not good any more; nothing was delivered */
};

static bool is_belief(const struct belief *belief, const struct config_tpsp *tpsp, enum relay_stage stage,
                      int code, uint64_t words)
{
    return belief->tpsp == tpsp && belief->stage == stage && belief->code == code && belief->words == words;
}

static bool is_believed(const struct relay_session *session, const struct wire *wire)
{
    int64_t now = clock_monotonic_ms();

    for (size_t i = 0; i < BELIEFS && wire->said.rule != NULL; i++)
        if (is_belief(&session->beliefs[i], wire->tpsp, wire->stage, wire->outcome.smtp_code,
                      wire->said.words) &&
            session->beliefs[i].until_ms > now)
            return true;
    return false;
}

/* A kept connection refused what a new one was asked again: either it says the same, or it was the old
 * session's trouble, or one that has passed. */
static void learn(struct relay_session *session, const struct relay_request *request,
                  const struct relay_result *before, struct relay_result *result)
{
    const struct reply_verdict *said = &before->said, *again = &result->said;

    if (said->rule == NULL)
        return;
    if (again->rule != NULL && result->stage == before->stage &&
        result->outcome.smtp_code == before->outcome.smtp_code && again->words == said->words)
        session->beliefs[session->next_belief++ % BELIEFS] =
            (struct belief){.tpsp = request->tpsp,
                            .stage = result->stage,
                            .code = result->outcome.smtp_code,
                            .words = said->words,
                            .until_ms = clock_monotonic_ms() + BELIEF_MS};
    else
        result->kept = (struct relay_kept_refusal){.outcome = before->outcome,
                                                   .stage = before->stage,
                                                   .said = before->said,
                                                   .taken = before->connection_use - 1};
}

/*
 * Before the content is sent, a connection that was kept never decides against a message: the trouble, or the
 * refusal, may be of a session that grew too old or too long. So it is asked again over a new one.
 */
static bool is_stale(const struct relay_session *session, const struct wire *wire)
{
    /* greylisting, a mailbox that is full: another session would hear the same */
    if (wire->stage == RELAY_RCPT && wire->said.rule != NULL && wire->said.of_recipient &&
        wire->outcome.class == OUTCOME_DEFERRED)
        return false;
    if (is_believed(session, wire))
        return false;
    return wire->stage == RELAY_MAIL || wire->stage == RELAY_RCPT ||
           (wire->stage == RELAY_DATA && !wire->content_begun);
}

static enum attempt_end attempt(struct relay_session *session, const struct relay_request *request,
                                const struct engine *engine, struct wire *kept, struct relay_result *result_r)
{
    enum attempt_end end = ATTEMPT_OVER;
    struct wire *wire = kept;

    if (wire == NULL) {
        wire = xmalloc(sizeof *wire);
        wire_init(wire, request, session->tls, session->resolver, session->rules);
    }
    bool open = kept != NULL ? wire_resume(wire, request) : wire_open(wire);
    if (open && request->message == NULL) {
        wire->stage = RELAY_QUIT;
        outcome_set(&wire->outcome, OUTCOME_DELIVERED, CAUSE_NONE, 250, "2.0.0", "the session stands");
    } else if (open && can_take_addresses(wire)) {
        result_r->engine = engine->name;
        if (conversation_run(wire, engine) == CONVERSATION_ENGINE_FAILED)
            end = ATTEMPT_ENGINE_FAILED;
    }
    if (kept != NULL && end == ATTEMPT_OVER && is_stale(session, wire))
        end = ATTEMPT_STALE;
    result_r->outcome = wire->outcome;
    result_r->said = wire->said;
    result_r->stage = wire->stage;
    result_r->contacted |= wire->contacted;
    result_r->greeted |= wire->greeted;
    result_r->connection_use = wire->served + 1;
    memcpy(result_r->peer, wire->peer, sizeof result_r->peer);
    memcpy(result_r->tls, wire->tls_text, sizeof result_r->tls);
    result_r->certificate_end_ms = wire->certificate_end_ms;
    memcpy(result_r->logins, wire->capabilities.auth_list, sizeof result_r->logins);
    keep_or_close(session, wire, end != ATTEMPT_STALE);
    return end;
}

/* Over the connection that is kept, if there is one, else over a new one. */
static enum attempt_end attempt_anyhow(struct relay_session *session, const struct relay_request *request,
                                       const struct engine *engine, struct relay_result *result_r)
{
    struct wire *kept = take_kept(session, request->tpsp);

    if (kept != NULL && request->session_limit > 0 && kept->served + 1 >= request->session_limit) {
        discard(kept); /* it has taken all that it will, as others have learnt meanwhile */
        kept = NULL;
    }
    if (kept == NULL)
        return attempt(session, request, engine, NULL, result_r);
    enum attempt_end end = attempt(session, request, engine, kept, result_r);
    if (end != ATTEMPT_STALE)
        return end;
    const struct relay_result before = *result_r;
    result_r->contacted = false;
    end = attempt(session, request, engine, NULL, result_r);
    learn(session, request, &before, result_r);
    return end;
}

static void send_once(struct relay_session *session, const struct relay_request *request,
                      struct relay_result *result_r)
{
    /* an engine that was caught doing wrong, or misses a plug-in, has delivered nothing: the other one may
     * try */
    const struct engine *engine =
        engine_choose(request->tpsp->engine, request->message != NULL ? engine_needs(request) : 0);

    if (attempt_anyhow(session, request, engine, result_r) == ATTEMPT_ENGINE_FAILED && engine != &engine_curl)
        attempt_anyhow(session, request, &engine_curl, result_r);
}

/* With a token that is fetched. One that was revoked before its time is found out by the server's refusal. */
static void send_with_token(struct relay_session *session, const struct relay_request *request,
                            struct relay_result *result_r)
{
    struct relay_request with_token = *request;
    char *token = NULL, *another = NULL;
    struct outcome error;

    if (session->oauth == NULL)
        outcome_local(&error, "4.3.0", "nobody has OAuth tokens to give here");
    if (session->oauth == NULL ||
        !oauth_token(session->oauth, request->tpsp, request->deadline_ms, &token, &error)) {
        result_r->outcome = error;
        result_r->stage = RELAY_AUTH;
        return;
    }
    with_token.token = token;
    send_once(session, &with_token, result_r);
    if (result_r->stage == RELAY_AUTH && result_r->outcome.smtp_code / 100 == 5) {
        if (oauth_replace(session->oauth, request->tpsp, token, request->deadline_ms, &another, &error)) {
            with_token.token = another;
            send_once(session, &with_token, result_r);
        } else {
            log_line(LOG_WARNING, "%s", error.text); /* what the server said is the better reason */
        }
    }
    secret_free(&token);
    secret_free(&another);
}

void relay_use_oauth(struct relay_session *session, struct oauth *oauth)
{
    session->oauth = oauth;
}

void relay_send(struct relay_session *session, const struct relay_request *request,
                struct relay_result *result_r)
{
    const struct config_tpsp *tpsp = request->tpsp;
    struct relay_request with_token = *request;
    struct sigpipe_guard guard;

    *result_r = (struct relay_result){.stage = RELAY_RESOLVE, .engine = ""};
    outcome_local(&result_r->outcome, "4.3.0", "the delivery was not attempted");
    if (request->message != NULL && !addresses_fit(request, &result_r->outcome))
        return;
    sigpipe_hold(&guard);
    with_token.token = tpsp->oauth_token;
    if (tpsp->oauth.token_endpoint != NULL && tpsp->username != NULL && tpsp->auth != AUTH_NONE)
        send_with_token(session, request, result_r);
    else
        send_once(session, &with_token, result_r);
    sigpipe_release(&guard);
}
