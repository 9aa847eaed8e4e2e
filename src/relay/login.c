#include "relay/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/xalloc.h"
#include "relay/scram.h"

bool login_is_wanted(const struct config_tpsp *tpsp)
{
    return tpsp->auth != AUTH_NONE && tpsp->username != NULL;
}

/* What one mechanism came to. */
enum attempt {
    MADE,
    REFUSED,      /* the wire's reply says how */
    NOT_THIS_ONE, /* the mechanism is refused as such */
    OVER,         /* the stage has failed, the outcome is set */
};

/* Base64 of secret bytes, behind words that are none. */
static bool say(struct wire *wire, const char *words, const char *shown, const void *secret, size_t length)
{
    size_t size = strlen(words) + 4 * (length / 3 + 1) + 4;
    char *line = xmalloc(size);
    int n = snprintf(line, size, "%s", words);
    size_t written = length > 0 ? base64_encode(secret, length, line + n, size - (size_t)n) : 0;

    n += (int)written + snprintf(line + (size_t)n + written, size - (size_t)n - written, "\r\n");
    bool ok = wire_command(wire, line, (size_t)n, shown);
    explicit_bzero(line, size);
    free(line);
    return ok;
}

static enum attempt judge(const struct wire *wire)
{
    int code = wire->parser.reply.code;

    if (code == 235)
        return MADE;
    /* RFC 4954 section 4: 504 unrecognised type, 534 too weak (it may be right without TLS), 538 encryption
     * needed; servers say 502 and 503, too */
    if (code == 502 || code == 503 || code == 504 || (code == 534 && wire->transport.ssl != NULL))
        return NOT_THIS_ONE;
    return REFUSED;
}

static enum attempt plain(struct wire *wire)
{
    const struct config_tpsp *tpsp = wire->tpsp;
    const char *password = tpsp->password != NULL ? tpsp->password : "";
    size_t user = strlen(tpsp->username), length = user + strlen(password) + 2;
    char *text = xmalloc(length + 1);

    text[0] = '\0';
    memcpy(text + 1, tpsp->username, user + 1);
    memcpy(text + user + 2, password, length - user - 2);
    bool ok = say(wire, "AUTH PLAIN ", "AUTH PLAIN ***", text, length);
    if (ok && wire->parser.reply.code == 334) /* a server that takes no initial response after all */
        ok = say(wire, "", "***", text, length);
    explicit_bzero(text, length);
    free(text);
    return ok ? judge(wire) : OVER;
}

/* Without initial response: some servers refuse one, others take it for nothing and then read the password as
 * the user name. What the challenges say does not matter, and need not be base64. */
static enum attempt login(struct wire *wire)
{
    const struct config_tpsp *tpsp = wire->tpsp;
    const char *password = tpsp->password != NULL ? tpsp->password : "";

    if (!wire_command(wire, "AUTH LOGIN\r\n", 12, NULL))
        return OVER;
    if (wire->parser.reply.code != 334)
        return judge(wire);
    if (!say(wire, "", "***", tpsp->username, strlen(tpsp->username)))
        return OVER;
    if (wire->parser.reply.code != 334)
        return judge(wire);
    return say(wire, "", "***", password, strlen(password)) ? judge(wire) : OVER;
}

/* A challenge is the reason of a refusal: the answer to it asks for the refusal itself. */
static enum attempt send_token(struct wire *wire, const char *words, const char *shown, char *text,
                               const char *after_refusal)
{
    bool ok = say(wire, words, shown, text, strlen(text));

    explicit_bzero(text, strlen(text));
    if (ok && wire->parser.reply.code == 334)
        ok = say(wire, "", "***", after_refusal, strlen(after_refusal));
    return ok ? judge(wire) : OVER;
}

static enum attempt xoauth2(struct wire *wire)
{
    AUTO_FREE char *text =
        xasprintf("user=%s\1auth=Bearer %s\1\1", wire->tpsp->username, wire->request->token);

    return send_token(wire, "AUTH XOAUTH2 ", "AUTH XOAUTH2 ***", text, "");
}

/* RFC 7628 section 3.1 and 3.2.3 */
static enum attempt oauthbearer(struct wire *wire)
{
    char name[SCRAM_TEXT_SIZE / 2];

    if (!scram_write_name(name, sizeof name, wire->tpsp->username))
        return NOT_THIS_ONE;
    AUTO_FREE char *text = xasprintf("n,a=%s,\1host=%s\1port=%u\1auth=Bearer %s\1\1", name, wire->host,
                                     wire->tpsp->port, wire->request->token);
    return send_token(wire, "AUTH OAUTHBEARER ", "AUTH OAUTHBEARER ***", text, "\1");
}

/* The challenge in the last reply, decoded; false when it is none. */
static bool challenge(const struct wire *wire, char *out, size_t size)
{
    const struct reply *reply = &wire->parser.reply;
    size_t length = base64_decode(reply->text, reply->text_length, (unsigned char *)out, size - 1);

    out[length] = '\0';
    return reply->code == 334 && length > 0 && strlen(out) == length;
}

static enum attempt not_scram(struct wire *wire, const char *why)
{
    /* the server waits for an answer: RFC 4954 section 4 has "*" to end the exchange */
    if (wire->parser.reply.code == 334 && !wire_command(wire, "*\r\n", 3, NULL))
        return OVER;
    outcome_local(&wire->outcome, "4.7.8", "Auth rejected: %s %s", wire->peer, why);
    (void)wire_stage_failed(wire);
    return OVER;
}

static enum attempt scram(struct wire *wire)
{
    const char *password = wire->tpsp->password != NULL ? wire->tpsp->password : "";
    struct scram scram;
    char text[SCRAM_TEXT_SIZE], said[SCRAM_TEXT_SIZE];

    if (!scram_first(&scram, wire->tpsp->username, NULL, text, sizeof text))
        return NOT_THIS_ONE;
    if (!say(wire, "AUTH SCRAM-SHA-256 ", "AUTH SCRAM-SHA-256 ***", text, strlen(text)))
        return OVER;
    if (wire->parser.reply.code != 334)
        return judge(wire);
    if (!challenge(wire, said, sizeof said) || !scram_answer(&scram, password, said, text, sizeof text))
        return not_scram(wire, "sent no challenge of SCRAM-SHA-256; set auth: plain if it goes on");
    if (!say(wire, "", "***", text, strlen(text)))
        return OVER;
    if (wire->parser.reply.code != 334)
        return judge(wire) == MADE ? not_scram(wire, "did not prove that it knows the password")
                                   : judge(wire);
    if (!challenge(wire, said, sizeof said) || !scram_final(&scram, said))
        return not_scram(wire, "does not know the password itself: it is not the server it says it is");
    return say(wire, "", "***", "", 0) ? judge(wire) : OVER;
}

/* --- the choice ------------------------------------------------------------------------------------ */

static bool may(const struct config_tpsp *tpsp, enum config_auth auth)
{
    return tpsp->auth == AUTH_AUTO || tpsp->auth == auth;
}

static bool no_login(struct wire *wire, const char *why, const char *what)
{
    outcome_local(&wire->outcome, "4.7.0", "Auth rejected: %s %s%s", wire->peer, why, what);
    return wire_stage_failed(wire);
}

struct mechanism {
    const char *name;
    bool usable; /* offered, and allowed by the configuration */
    enum attempt (*make)(struct wire *wire);
};

/* The refusal of the last one, with what was offered and tried. */
static bool refused(struct wire *wire, const char *tried)
{
    struct outcome outcome;

    (void)wire_refused(wire);
    outcome = wire->outcome;
    if (outcome.class == OUTCOME_DEFERRED)
        outcome_set(&wire->outcome, outcome.class, outcome.cause, outcome.smtp_code, outcome.enhanced,
                    "%s (offered:%s%s; tried:%s)", outcome.text,
                    *wire->capabilities.auth_list != '\0' ? " " : "", wire->capabilities.auth_list, tried);
    return false;
}

static bool try_mechanisms(struct wire *wire, const struct mechanism *mechanisms, size_t count)
{
    char tried[128] = "";
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        if (!mechanisms[i].usable)
            continue;
        size_t length = strlen(tried);
        snprintf(tried + length, sizeof tried - length, " %s", mechanisms[i].name);
        wire->mechanism = mechanisms[i].name;
        any = true;
        switch (mechanisms[i].make(wire)) {
        case MADE:
            wire->authenticated = true;
            wire_stage_done(wire, wire->parser.reply.code, wire->parser.reply.text);
            return true;
        case OVER:
            return false;
        case REFUSED:
            return refused(wire, tried);
        case NOT_THIS_ONE:
            break;
        }
    }
    if (any)
        return refused(wire, tried);
    if (wire->capabilities.auth_list[0] == '\0')
        return no_login(wire, "offers no login; ", "check port and security, or set auth: none");
    return no_login(wire, "does not offer the wanted login mechanism; it offers ",
                    wire->capabilities.auth_list);
}

bool login_make(struct wire *wire)
{
    const struct wire_capabilities *offered = &wire->capabilities;
    const struct config_tpsp *tpsp = wire->tpsp;
    /* a token where there is one; XOAUTH2 is what the large providers had first */
    bool token = tpsp->auth == AUTH_XOAUTH2 || tpsp->auth == AUTH_OAUTHBEARER ||
                 (tpsp->auth == AUTH_AUTO && wire->request->token != NULL);
    bool have = token && wire->request->token != NULL;

    if (!login_is_wanted(tpsp))
        return true;
    wire_stage_begin(wire, RELAY_AUTH);
    if (wire->transport.ssl == NULL && !tpsp->auth_without_tls)
        return no_login(wire, "is reached without TLS, and no password is sent in the clear; ",
                        "set security, or auth-without-tls: true");
    const struct mechanism mechanisms[] = {
        {"XOAUTH2", have && offered->auth_xoauth2 && may(tpsp, AUTH_XOAUTH2), xoauth2},
        {"OAUTHBEARER", have && offered->auth_oauthbearer && may(tpsp, AUTH_OAUTHBEARER), oauthbearer},
        {"SCRAM-SHA-256", !token && offered->auth_scram_sha_256 && may(tpsp, AUTH_SCRAM_SHA_256), scram},
        {"PLAIN", !token && offered->auth_plain && may(tpsp, AUTH_PLAIN), plain},
        {"LOGIN", !token && offered->auth_login && may(tpsp, AUTH_LOGIN), login},
    };
    return try_mechanisms(wire, mechanisms, sizeof mechanisms / sizeof mechanisms[0]);
}
