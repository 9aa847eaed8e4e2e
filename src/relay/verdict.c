#include "relay/verdict.h"

#include <string.h>
#include <strings.h>

#define BIT(stage) (1u << (stage))
#define ENVELOPE (BIT(RELAY_MAIL) | BIT(RELAY_RCPT))
#define TRANSACTION (ENVELOPE | BIT(RELAY_DATA))
#define WITHOUT_LOGIN (1u << RELAY_STAGE_COUNT) /* the rule holds only where we did not log in */

/*
 * Replies to MAIL, RCPT and DATA, first match wins; what matches none is the message's. Codes are those of
 * RFC 5321, 4954 (AUTH) and 3207 (STARTTLS), enhanced codes those of the IANA registry. Words are looked for
 * in replies to MAIL and RCPT alone: after the content, "not authenticated" is about DKIM and SPF.
 */
static const struct rule {
    unsigned stages;
    int low, high;
    const char *enhanced; /* the text begins with this code; a final '.' matches every detail; NULL: any */
    const char *words;    /* the text holds these; NULL: any */
    enum outcome_cause cause;
} rules[] = {
    {TRANSACTION, 421, 421, NULL, NULL,
     CAUSE_HOST}, /* service not available, closing: may come at any time */
    {TRANSACTION, 530, 530, NULL, NULL, CAUSE_HOST}, /* authentication required; must issue STARTTLS first */
    {TRANSACTION, 534, 535, NULL, NULL, CAUSE_HOST}, /* mechanism too weak; credentials invalid */
    {TRANSACTION, 538, 538, NULL, NULL, CAUSE_HOST}, /* encryption required for the mechanism */
    {TRANSACTION, 454, 454, NULL, NULL, CAUSE_HOST}, /* temporary authentication failure; TLS not available */
    /* authentication of the message, not ours: DKIM, SPF, DMARC, ARC, reverse DNS (RFC 7372) */
    {TRANSACTION, 400, 599, "5.7.2", NULL, CAUSE_MESSAGE}, /* 5.7.20 to 5.7.29, and 5.7.2 itself */
    {TRANSACTION, 400, 599, "4.7.2", NULL, CAUSE_MESSAGE},
    {TRANSACTION, 400, 599, NULL, "dmarc", CAUSE_MESSAGE},
    {TRANSACTION, 400, 599, NULL, "dkim", CAUSE_MESSAGE},
    {TRANSACTION, 400, 599, NULL, "spf", CAUSE_MESSAGE},
    /* authentication credentials invalid, too weak, encryption needed, trust relationship required */
    {TRANSACTION, 400, 599, "5.7.8", NULL, CAUSE_HOST},
    {TRANSACTION, 400, 599, "5.7.9", NULL, CAUSE_HOST},
    {TRANSACTION, 400, 599, "5.7.11", NULL, CAUSE_HOST},
    {TRANSACTION, 400, 599, "5.7.13", NULL, CAUSE_HOST}, /* user account disabled */
    {TRANSACTION, 400, 599, "5.7.14", NULL, CAUSE_HOST},
    {TRANSACTION, 400, 599, "5.7.57", NULL, CAUSE_HOST}, /* Exchange: client was not authenticated */
    {ENVELOPE, 500, 599, NULL, "authentication required", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "authentication is required", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "requires authentication", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "must authenticate", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "need to authenticate", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "authenticate first", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "auth first", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "auth command first", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "client not authenticated", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "client was not authenticated", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "you are not authenticated", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "log in first", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "login first", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "issue a starttls", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "starttls command first", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "relay access denied", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "relaying denied", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "relay denied", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "unable to relay", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "cannot relay", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "not permitted to relay", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "not allowed to relay", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "relay not permitted", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "relay not allowed", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "relaying not permitted", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "relaying not allowed", CAUSE_HOST},
    {ENVELOPE, 500, 599, NULL, "client host rejected", CAUSE_HOST},
    /* what Postfix says on a submission port to those who did not log in, and also of a recipient on a
     * list */
    {ENVELOPE | WITHOUT_LOGIN, 500, 599, NULL, "access denied", CAUSE_HOST},
    /* what our account may send is used up: another TPSP can still take the message */
    {TRANSACTION, 500, 599, NULL, "sending limit exceeded", CAUSE_HOST},
    {TRANSACTION, 500, 599, NULL, "sending quota exceeded", CAUSE_HOST},
    {TRANSACTION, 500, 599, NULL, "credits exceeded", CAUSE_HOST},
};

static bool enhanced_matches(const char *prefix, const struct reply *reply)
{
    size_t length = strlen(prefix), enhanced = outcome_enhanced_length(reply->text, reply->text_length);

    if (enhanced < length || memcmp(reply->text, prefix, length) != 0)
        return false;
    /* "5.7.2" stands for the whole group of the twenties as well */
    return enhanced == length || (length == 5 && prefix[4] == '2' && enhanced == 6);
}

static enum outcome_cause transaction_cause(enum relay_stage stage, const struct reply *reply, bool logged_in)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        if ((rule->stages & BIT(stage)) != 0 && ((rule->stages & WITHOUT_LOGIN) == 0 || !logged_in) &&
            reply->code >= rule->low && reply->code <= rule->high &&
            (rule->enhanced == NULL || enhanced_matches(rule->enhanced, reply)) &&
            (rule->words == NULL || strcasestr(reply->text, rule->words) != NULL))
            return rule->cause;
    }
    return CAUSE_MESSAGE;
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

void verdict_reply(struct outcome *outcome_r, enum relay_stage stage, const struct reply *reply,
                   bool logged_in, const char *peer)
{
    bool transaction = (BIT(stage) & TRANSACTION) != 0;
    enum outcome_cause cause = transaction ? transaction_cause(stage, reply, logged_in) : CAUSE_HOST;
    size_t length;

    if (cause == CAUSE_MESSAGE && reply->code >= 400) {
        /* the server's own words: they travel to the event as they are */
        outcome_from_reply(outcome_r, cause, reply->code, reply->text, reply->text_length);
    } else if (reply->code < 400) {
        outcome_set(outcome_r, OUTCOME_DEFERRED, CAUSE_HOST, reply->code, "4.5.0",
                    "protocol error: %s answered %s with %d %s", peer, stages[stage].name, reply->code,
                    reply->text);
    } else {
        char enhanced[OUTCOME_ENHANCED_SIZE] = "";
        length = outcome_enhanced_length(reply->text, reply->text_length);
        if (length > 0 && length < sizeof enhanced)
            memcpy(enhanced, reply->text, length);
        if (stage == RELAY_AUTH && reply->code != 421)
            cause = CAUSE_OURS;
        outcome_set(outcome_r, OUTCOME_DEFERRED, cause, reply->code,
                    *enhanced != '\0' ? enhanced : stages[stage].enhanced, "%s %s: %d %s%s%s",
                    stages[stage].refused, peer, reply->code, reply->text, reply->code >= 500 ? "; " : "",
                    reply->code >= 500 ? stages[stage].remedy : "");
    }
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
