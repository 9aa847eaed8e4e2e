#include "relay/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

struct verdict_rules {
    char *config_path; /* NULL: the built-in rules alone */
    struct replies *replies;
};

struct verdict_rules *verdict_rules_new(const char *config_path)
{
    struct verdict_rules *rules = xcalloc(1, sizeof *rules);

    rules->config_path = config_path != NULL ? xstrdup(config_path) : NULL;
    return rules;
}

void verdict_rules_free(struct verdict_rules *rules)
{
    if (rules == NULL)
        return;
    replies_close(rules->replies);
    free(rules->config_path);
    free(rules);
}

/* Most processes see no refusal in their life. */
static const struct replies *opened(struct verdict_rules *rules)
{
    struct outcome error;

    if (rules->replies == NULL)
        rules->replies =
            rules->config_path != NULL ? replies_open_beside(rules->config_path) : replies_open(NULL, &error);
    return rules->replies;
}

/* How a stage is called in a sentence, and what to do when the server refuses it. */
static const struct {
    const char *name;
    const char *refused; /* "%s PEER: CODE TEXT" */
    const char *remedy;
    const char *enhanced; /* when the server gave none */
} stages[RELAY_STAGE_COUNT] = {
    [RELAY_RESOLVE] = {"name lookup", "", "", "4.4.3"},
    [RELAY_CONNECT] = {"connect", "", "check host and port, and whether the server runs", "4.4.1"},
    [RELAY_TLS] = {"TLS handshake", "", "", "4.7.5"},
    [RELAY_GREETING] = {"greeting", "Service refused by", "ask the provider why", "4.3.2"},
    [RELAY_EHLO] = {"EHLO", "EHLO rejected by", "ask the provider why", "4.5.0"},
    [RELAY_STARTTLS] = {"STARTTLS", "TLS handshake failed: STARTTLS refused by", "check security", "4.7.5"},
    [RELAY_AUTH] = {"AUTH", "Auth rejected by", "check username and password", "4.7.8"},
    [RELAY_MAIL] = {"MAIL FROM", "MAIL FROM failure at", "check the login at the TPSP", "4.7.0"},
    [RELAY_RCPT] = {"RCPT TO", "RCPT TO failure at", "check the login at the TPSP", "4.7.0"},
    [RELAY_DATA] = {"DATA", "DATA failure at", "check the login at the TPSP", "4.7.0"},
    [RELAY_QUIT] = {"QUIT", "QUIT refused by", "", "4.5.0"},
};

/* The part of the table that a stage of ours stands for. */
static enum reply_stage reply_stage(enum relay_stage stage, bool content)
{
    static const enum reply_stage by_stage[RELAY_STAGE_COUNT] = {
        [RELAY_EHLO] = REPLY_EHLO, [RELAY_STARTTLS] = REPLY_STARTTLS, [RELAY_AUTH] = REPLY_AUTH,
        [RELAY_MAIL] = REPLY_MAIL, [RELAY_RCPT] = REPLY_RCPT,         [RELAY_DATA] = REPLY_DATA};

    return stage == RELAY_DATA && content ? REPLY_DOT : by_stage[stage];
}

/* Of the account there is trouble of ours, with user name and password, and what the TPSP decided about it.
 */
static bool is_about_the_login(const struct reply_verdict *said)
{
    return strcmp(said->reason, "login") == 0 || strcmp(said->reason, "default-login") == 0;
}

static enum outcome_cause cause_of(enum reply_whose whose)
{
    static const enum outcome_cause causes[] = {[REPLY_OF_MESSAGE] = CAUSE_MESSAGE,
                                                [REPLY_OF_ACCOUNT] = CAUSE_ACCOUNT,
                                                [REPLY_OF_HOST] = CAUSE_HOST,
                                                [REPLY_OF_SESSION] = CAUSE_SESSION};

    return causes[whose];
}

/* What to do when the server will not have us: by stage, and after the login by whose trouble it is. */
static const char *remedy(enum relay_stage stage, enum outcome_cause cause)
{
    if (stage < RELAY_MAIL)
        return stages[stage].remedy;
    switch (cause) {
    case CAUSE_ACCOUNT:
        return "the TPSP refuses the account; look into it there, or check the login";
    case CAUSE_HOST:
        return "the TPSP refuses this host; check the login, or ask the provider why";
    default:
        return "";
    }
}

static void refuse(struct outcome *outcome_r, const struct verdict_facts *facts, const struct reply *reply,
                   enum outcome_cause cause)
{
    char enhanced[OUTCOME_ENHANCED_SIZE] = "";
    size_t length = outcome_enhanced_length(reply->text, reply->text_length);
    const char *advice = reply->code >= 500 ? remedy(facts->stage, cause) : "";

    if (length > 0 && length < sizeof enhanced)
        memcpy(enhanced, reply->text, length);
    outcome_set(outcome_r, OUTCOME_DEFERRED, cause, reply->code,
                *enhanced != '\0' ? enhanced : stages[facts->stage].enhanced, "%s %s: %d %s%s%s",
                stages[facts->stage].refused, facts->peer, reply->code, reply->text,
                *advice != '\0' ? "; " : "", advice);
}

void verdict_reply(struct outcome *outcome_r, struct verdict_rules *rules, const struct verdict_facts *facts,
                   const struct reply *reply, struct reply_verdict *said_r)
{
    const struct replies *replies = opened(rules);
    const struct config_tpsp *tpsp = facts->request->tpsp;
    struct reply_facts judged = {
        .stage = reply_stage(facts->stage, facts->content),
        .code = reply->code,
        .status = "",
        .recipient = facts->request->recipient,
        .sender = facts->request->sender,
        .service = replies_service(replies, tpsp->service ? tpsp->service : "auto", tpsp->host),
        .logged_in = facts->logged_in};

    if (reply->code < 400) {
        bool in_session = facts->stage >= RELAY_MAIL;
        *said_r = (struct reply_verdict){
            .whose = in_session ? REPLY_OF_SESSION : REPLY_OF_HOST, .reason = "protocol-error", .rule = ""};
        outcome_set(outcome_r, OUTCOME_DEFERRED, cause_of(said_r->whose), reply->code, "4.5.0",
                    "protocol error: %s answered %s with %d %s", facts->peer, stages[facts->stage].name,
                    reply->code, reply->text);
        return;
    }
    replies_judge(replies, &judged, reply->text, reply->text_length, said_r);
    if (facts->stage == RELAY_AUTH && reply->code != 421 && is_about_the_login(said_r))
        refuse(outcome_r, facts, reply, CAUSE_OURS);
    else if (said_r->whose != REPLY_OF_MESSAGE)
        refuse(outcome_r, facts, reply, cause_of(said_r->whose));
    else if (facts->stage < RELAY_MAIL) /* nobody has spoken of a message yet */
        refuse(outcome_r, facts, reply, CAUSE_HOST);
    else /* the server's own words: they travel to the event as they are */
        outcome_from_reply(outcome_r, CAUSE_MESSAGE, reply->code, reply->text, reply->text_length);
}

void verdict_transport(struct outcome *outcome_r, enum relay_stage stage, enum transport_status status,
                       const char *error, const char *peer)
{
    if (status == TRANSPORT_OURS)
        outcome_local(outcome_r, "4.4.0", "%s, at %s with %s; check the network of this host", error,
                      stages[stage].name, peer);
    else if (status == TRANSPORT_TIMEOUT)
        outcome_set(outcome_r, OUTCOME_DEFERRED, CAUSE_UNREACHABLE, 0,
                    stage == RELAY_CONNECT ? "4.4.1" : "4.4.2", "Timeout at %s with %s: %s",
                    stages[stage].name, peer, error);
    else if (stage == RELAY_CONNECT)
        outcome_set(outcome_r, OUTCOME_DEFERRED, CAUSE_UNREACHABLE, 0, "4.4.1", "%s%s %s; %s",
                    status == TRANSPORT_CLOSED ? "Connection lost" : error,
                    strcmp(error, "Connection refused") == 0 ? " by" : ", connecting to", peer,
                    stages[stage].remedy);
    else
        outcome_set(outcome_r, OUTCOME_DEFERRED, CAUSE_UNREACHABLE, 0, "4.4.2", "%s at %s with %s",
                    status == TRANSPORT_CLOSED ? "Connection lost" : error, stages[stage].name, peer);
}

void verdict_in_doubt(struct outcome *outcome_r, const char *why, const char *peer)
{
    outcome_set(outcome_r, OUTCOME_DEFERRED, CAUSE_IN_DOUBT, 0, "4.4.2",
                "%s after the whole message was sent to %s: it may have been accepted", why, peer);
}
