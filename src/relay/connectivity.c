#include "relay/connectivity.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/address.h"
#include "base/json.h"
#include "base/uuid.h"
#include "base/xalloc.h"

/* --- the message ----------------------------------------------------------------------------- */

static ssize_t read_text(void *context, uint64_t offset, char *buffer, size_t size)
{
    const char *text = context;
    size_t length = strlen(text);

    if (offset >= length)
        return 0;
    if (size > length - offset)
        size = length - (size_t)offset;
    memcpy(buffer, text + offset, size);
    return (ssize_t)size;
}

static char *make_message(const char *sender, const char *recipient, struct relay_message *message)
{
    char uuid[UUID_SIZE], date[64];
    const char *domain = address_domain(sender);
    time_t now = time(NULL);
    struct tm utc;

    uuid_random(uuid);
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &utc);
    char *text = xasprintf("Date: %s\r\n"
                           "From: <%s>\r\n"
                           "To: <%s>\r\n"
                           "Subject: postfix-sendpost connectivity test\r\n"
                           "Message-ID: <%s@%s>\r\n"
                           "MIME-Version: 1.0\r\n"
                           "Content-Type: text/plain; charset=us-ascii\r\n"
                           "Auto-Submitted: auto-generated\r\n"
                           "\r\n"
                           "This message was sent by a connectivity test of postfix-sendpost.\r\n",
                           date, sender, recipient, uuid, domain != NULL ? domain : "localhost");
    *message = (struct relay_message){
        .header = text,
        .header_length = (size_t)(strstr(text, "\r\n\r\n") + 4 - text),
        .size = strlen(text),
        .eight_bit = !address_is_ascii(text),
        .read_at = read_text,
        .context = text,
    };
    return text;
}

/* --- what it means ----------------------------------------------------------------------------- */

static const char *const stage_errors[RELAY_STAGE_COUNT] = {
    [RELAY_RESOLVE] = "Host not found",
    [RELAY_TLS] = "TLS handshake failed",
    [RELAY_GREETING] = "Greeting failure",
    [RELAY_EHLO] = "EHLO failure",
    [RELAY_STARTTLS] = "TLS handshake failed",
    [RELAY_AUTH] = "Auth rejected",
    [RELAY_MAIL] = "MAIL FROM failure",
    [RELAY_RCPT] = "RCPT TO failure",
    [RELAY_DATA] = "DATA failure",
};

static bool says(const struct connectivity *test, const char *words)
{
    return strcasestr(test->result.outcome.text, words) != NULL;
}

static void name_error(struct connectivity *test)
{
    const char *text = test->result.outcome.text;

    if (strncmp(text, "Timeout", 7) == 0 || (test->result.outcome.smtp_code == 0 && says(test, "timed out")))
        snprintf(test->error, sizeof test->error, "Timeout");
    else if (test->result.stage == RELAY_CONNECT) /* "Connection refused by PEER; …" */
        snprintf(test->error, sizeof test->error, "%.*s",
                 (int)(strstr(text, " by ") != NULL ? strstr(text, " by ") - text : 40), text);
    else if (test->result.stage < RELAY_STAGE_COUNT && stage_errors[test->result.stage] != NULL)
        snprintf(test->error, sizeof test->error, "%s", stage_errors[test->result.stage]);
}

#define ANY_PORT 0
#define ANY_SECURITY ((enum config_security) - 1)

/* The first row that fits. words: NULL for any text; error: NULL for any. */
static const struct {
    enum relay_stage stage;
    const char *error, *words;
    enum config_security security;
    uint16_t port;
    const char *advice;
} advice[] = {
    {RELAY_RESOLVE, NULL, NULL, ANY_SECURITY, ANY_PORT,
     "Check host, and that this machine resolves names: /etc/resolv.conf, or dns: {servers: […]}."},
    {RELAY_CONNECT, "Timeout", NULL, ANY_SECURITY, 25,
     "Many networks block port 25. Use 587 with security: starttls, or 465 with security: tls."},
    {RELAY_CONNECT, "Timeout", NULL, ANY_SECURITY, ANY_PORT,
     "A firewall drops the connection, here or at the provider: open this port for outgoing connections, "
     "check host and port."},
    {RELAY_CONNECT, "Connection refused", NULL, ANY_SECURITY, ANY_PORT,
     "Nothing listens there, or a firewall rejects it: check host and port (587 with starttls, 465 with "
     "tls)."},
    {RELAY_CONNECT, NULL, NULL, ANY_SECURITY, ANY_PORT,
     "Check the network of this machine, its routes and its firewall."},
    {RELAY_GREETING, NULL, NULL, ANY_SECURITY, 465,
     "Port 465 speaks TLS from the first byte: set security: tls."},
    {RELAY_GREETING, "Timeout", NULL, ANY_SECURITY, ANY_PORT,
     "The server accepts connections but says nothing: a port that wants TLS first (security: tls)? Else it "
     "is overloaded, or delays this address."},
    {RELAY_GREETING, NULL, NULL, ANY_SECURITY, ANY_PORT,
     "The server does not want this address, or is no SMTP server: check host and port, ask the provider "
     "whether your address must be allowed."},
    {RELAY_TLS, NULL, "does not speak TLS here", ANY_SECURITY, ANY_PORT,
     "The server does not speak TLS from the first byte on this port: set security: starttls, usual on port "
     "587."},
    {RELAY_STARTTLS, NULL, "does not offer STARTTLS", ANY_SECURITY, ANY_PORT,
     "Check the port: 587 has STARTTLS, 465 wants security: tls. Only for a server in your own network: "
     "security: none."},
    {RELAY_AUTH, NULL, "offers no login", ANY_SECURITY, ANY_PORT,
     "The server wants no login on this port: check port and security, or remove username and password."},
    {RELAY_AUTH, NULL, "does not offer the wanted", ANY_SECURITY, ANY_PORT,
     "Set auth to auto, or to what the server offers."},
    {RELAY_AUTH, NULL, "without TLS", ANY_SECURITY, ANY_PORT, "Set security: starttls or tls."},
    {RELAY_AUTH, "Auth rejected", NULL, ANY_SECURITY, ANY_PORT,
     "Check username and password: many providers want an API key or an app password here, and some the "
     "address as username."},
    {RELAY_MAIL, NULL, NULL, ANY_SECURITY, ANY_PORT,
     "The provider does not take this sender: verify its domain there, or name a verified one with --from."},
    {RELAY_RCPT, NULL, NULL, ANY_SECURITY, ANY_PORT,
     "If it is about relaying, the login is missing or may not send; if about the recipient, try another one "
     "with --to."},
    {RELAY_DATA, NULL, NULL, ANY_SECURITY, ANY_PORT,
     "The provider does not take the message: read its words, and check sender verification and sending "
     "limits there."},
};

/* What OpenSSL and our own name check say about certificates. */
static const struct {
    const char *words, *advice;
} tls_advice[] = {
    {"hostname mismatch", "The certificate is for other names: use one of them as host."},
    {"IP address mismatch",
     "The certificate does not name this address: use the name that it is for as host."},
    {"self-signed", "Its CA is not known here: name the CA's certificate with tls-ca-file."},
    {"unable to get local issuer",
     "Its CA is not known here: install ca-certificates, or name the CA's certificate with tls-ca-file."},
    {"expired", "The certificate has expired: the provider must renew it. If it has not, the clock of this "
                "machine is wrong."},
    {"not yet valid", "The clock of this machine is behind, or the certificate is not in force yet."},
    {"unsupported protocol", "The server speaks TLS 1.1 or older only: the provider must update it."},
    {"", "Check port and security, and look at the server with: openssl s_client -starttls smtp -connect "
         "HOST:PORT"},
};

static void find_advice(struct connectivity *test, const struct config_tpsp *tpsp)
{
    enum relay_stage stage = test->result.stage;

    if (test->result.outcome.smtp_code == 530 && stage > RELAY_AUTH) { /* RFC 4954: authentication required */
        test->advice = "The server wants a login first: set username and password-file.";
        return;
    }
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++)
        if (advice[i].stage == stage &&
            (advice[i].error == NULL || strcmp(advice[i].error, test->error) == 0) &&
            (advice[i].words == NULL || says(test, advice[i].words)) &&
            (advice[i].security == ANY_SECURITY || advice[i].security == tpsp->security) &&
            (advice[i].port == ANY_PORT || advice[i].port == tpsp->port)) {
            test->advice = advice[i].advice;
            return;
        }
    for (size_t i = 0; stage == RELAY_TLS || stage == RELAY_STARTTLS; i++)
        if (says(test, tls_advice[i].words)) {
            test->advice = tls_advice[i].advice;
            return;
        }
    test->advice = "Try again; if it stays, ask the provider with the server's words.";
}

/* --- the run ----------------------------------------------------------------------------------- */

struct observer {
    struct connectivity *test;
    const struct connectivity_request *request;
};

static void observe(void *context, const struct relay_step *step)
{
    struct observer *observer = context;
    struct connectivity *test = observer->test;

    if (test->step_count == CONNECTIVITY_STEPS)
        return;
    test->steps[test->step_count++] = (struct connectivity_step){
        .stage = step->stage,
        .ok = step->ok,
        .duration_us = step->duration_us,
        .smtp_code = step->smtp_code,
        .detail = xstrdup(step->detail != NULL ? step->detail : ""),
    };
    if (observer->request->show != NULL)
        observer->request->show(observer->request->context, &test->steps[test->step_count - 1]);
}

void connectivity_test(struct connectivity *test_r, const struct connectivity_request *request)
{
    struct relay_message message;
    AUTO_FREE char *text =
        request->recipient != NULL ? make_message(request->sender, request->recipient, &message) : NULL;
    struct observer observer = {test_r, request};
    const struct relay_request relay = {.tpsp = request->tpsp,
                                        .sender = request->sender,
                                        .recipient = request->recipient,
                                        /* points into text */
                                        .message = text != NULL ? &message : NULL,
                                        .deadline_ms = request->deadline_ms,
                                        .trace = request->trace,
                                        .observe = observe,
                                        .observe_context = &observer};

    memset(test_r, 0, sizeof *test_r);
    relay_send(request->session, &relay, &test_r->result);
    test_r->ok = test_r->result.outcome.class == OUTCOME_DELIVERED;
    if (!test_r->ok) {
        name_error(test_r);
        find_advice(test_r, request->tpsp);
    }
}

void connectivity_free(struct connectivity *test)
{
    for (size_t i = 0; i < test->step_count; i++)
        free(test->steps[i].detail);
    test->step_count = 0;
}

static struct json_object *step_json(const struct connectivity_step *step)
{
    struct json_object *json = json_object_new_object();

    json_object_object_add(json, "stage", json_object_new_string(relay_stage_name(step->stage)));
    json_object_object_add(json, "ok", json_object_new_boolean(step->ok));
    json_add_decimal(json, "ms", (double)step->duration_us / 1000);
    if (step->smtp_code != 0)
        json_object_object_add(json, "smtp_code", json_object_new_int(step->smtp_code));
    json_add_text(json, "detail", step->detail);
    return json;
}

struct json_object *connectivity_json(const struct connectivity *test)
{
    struct json_object *json = json_object_new_object(), *steps = json_object_new_array();

    json_object_object_add(json, "ok", json_object_new_boolean(test->ok));
    json_object_object_add(
        json, "stage", json_object_new_string(relay_stage_name(test->ok ? RELAY_QUIT : test->result.stage)));
    if (!test->ok) {
        json_object_object_add(json, "error", json_object_new_string(test->error));
        json_add_text(json, "advice", test->advice);
    }
    if (test->result.outcome.smtp_code != 0)
        json_object_object_add(json, "smtp_code", json_object_new_int(test->result.outcome.smtp_code));
    json_add_text(json, "smtp_description", test->result.outcome.text);
    if (test->result.tls[0] != '\0')
        json_object_object_add(json, "tls", json_object_new_string(test->result.tls));
    for (size_t i = 0; i < test->step_count; i++)
        json_object_array_add(steps, step_json(&test->steps[i]));
    json_object_object_add(json, "steps", steps);
    return json;
}
