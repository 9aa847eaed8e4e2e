/* From an address to a session that is ready for MAIL: connection, greeting, EHLO and TLS. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/helo_name.h"
#include "relay/login.h"
#include "relay/verdict.h"
#include "relay/wire.h"

/* Of a connection, and of each of the two that follow it: TLS handshake and greeting. */
static int64_t connect_deadline(const struct wire *wire)
{
    int64_t deadline = clock_monotonic_ms() + wire->tpsp->connect_timeout_ms;
    return deadline < wire->request->deadline_ms ? deadline : wire->request->deadline_ms;
}

static bool start_tls(struct wire *wire)
{
    char error[512] = "", detail[1024];
    enum transport_status status;
    enum tls_start started = tls_start(wire->tls, &wire->transport, &wire->tls_peer, connect_deadline(wire),
                                       &status, error, sizeof error);

    if (started == TLS_LOST) /* silence, as at any other step: nothing was said of certificates or ports */
        verdict_transport(&wire->outcome, wire->stage, status, error, wire->peer);
    else if (started == TLS_FAILED)
        outcome_local(&wire->outcome, "4.7.5", "TLS handshake failed with %s: %s", wire->peer, error);
    if (started != TLS_STARTED)
        return wire_stage_failed(wire);
    tls_summary(wire->transport.ssl, wire->tls_text, sizeof wire->tls_text);
    wire->certificate_end_ms = tls_certificate_end_ms(wire->transport.ssl);
    if (wire->request->trace != NULL)
        fprintf(wire->request->trace, "*: %s\n", wire->tls_text);
    if (wire->request->observe != NULL) {
        tls_detail(wire->transport.ssl, detail, sizeof detail);
        wire_stage_done(wire, 0, detail);
    }
    return true;
}

static bool read_greeting(struct wire *wire)
{
    wire_stage_begin(wire, RELAY_GREETING);
    wire->stage_deadline_ms = connect_deadline(wire);
    if (!wire_await_reply(wire))
        return false;
    if (wire->parser.reply.code != 220)
        return wire_refused(wire);
    wire->usable = true;
    wire->greeted = true;
    wire_stage_done(wire, 220, wire->parser.reply.text);
    return true;
}

static bool word_is(const char *text, size_t length, const char *word)
{
    return length == strlen(word) && strncasecmp(text, word, length) == 0;
}

/* "AUTH PLAIN LOGIN" and the old "AUTH=PLAIN LOGIN" */
static void note_mechanisms(struct wire_capabilities *capabilities, const char *text, size_t length)
{
    size_t have = strlen(capabilities->auth_list);

    for (size_t at = 0; at < length;) {
        size_t end = at;
        while (end < length && text[end] != ' ')
            end++;
        capabilities->auth_plain |= word_is(text + at, end - at, "PLAIN");
        capabilities->auth_login |= word_is(text + at, end - at, "LOGIN");
        capabilities->auth_scram_sha_256 |= word_is(text + at, end - at, "SCRAM-SHA-256");
        capabilities->auth_xoauth2 |= word_is(text + at, end - at, "XOAUTH2");
        capabilities->auth_oauthbearer |= word_is(text + at, end - at, "OAUTHBEARER");
        at = end + 1;
    }
    if (have < sizeof capabilities->auth_list - 1)
        snprintf(capabilities->auth_list + have, sizeof capabilities->auth_list - have, "%s%.*s",
                 have > 0 ? " " : "", (int)length, text);
}

static void note_capability(void *context, size_t index, const char *text, size_t length)
{
    struct wire_capabilities *capabilities = context;
    size_t word = 0;

    if (index == 0) /* the server's name */
        return;
    while (word < length && text[word] != ' ' && text[word] != '=')
        word++;
    if (word_is(text, word, "STARTTLS"))
        capabilities->starttls = true;
    else if (word_is(text, word, "8BITMIME"))
        capabilities->eight_bit_mime = true;
    else if (word_is(text, word, "SMTPUTF8"))
        capabilities->smtputf8 = true;
    else if (word_is(text, word, "PIPELINING"))
        capabilities->pipelining = true;
    else if (word_is(text, word, "SIZE")) {
        capabilities->size = true;
        /* text ends at the line end, which is no digit */
        for (size_t i = word + 1; i < length && text[i] >= '0' && text[i] <= '9'; i++)
            if (capabilities->size_limit < UINT64_MAX / 10 - 10)
                capabilities->size_limit = capabilities->size_limit * 10 + (uint64_t)(text[i] - '0');
    } else if (word_is(text, word, "AUTH") && word < length) {
        note_mechanisms(capabilities, text + word + 1, length - word - 1);
    }
}

/* RFC 5321 section 4.1.4: the fully qualified name of this host where it has one, else its address
 * literal. */
static void helo_name(const struct wire *wire, char *name, size_t size)
{
    char host[HELO_NAME_SIZE], address[INET6_ADDRSTRLEN] = "127.0.0.1";
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;

    if (wire->tpsp->helo_name != NULL) {
        snprintf(name, size, "%s", wire->tpsp->helo_name);
        return;
    }
    if (helo_name_of_host(host)) {
        snprintf(name, size, "%s", host);
        return;
    }
    if (getsockname(wire->transport.descriptor, (struct sockaddr *)&local, &length) == 0) {
        if (local.ss_family == AF_INET6)
            inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&local)->sin6_addr, address, sizeof address);
        else
            inet_ntop(AF_INET, &((struct sockaddr_in *)&local)->sin_addr, address, sizeof address);
    }
    snprintf(name, size, "[%s%s]", local.ss_family == AF_INET6 ? "IPv6:" : "", address);
}

static bool say_hello(struct wire *wire)
{
    char name[300], line[320];
    int length, code;

    wire_stage_begin(wire, RELAY_EHLO);
    helo_name(wire, name, sizeof name);
    length = snprintf(line, sizeof line, "EHLO %s\r\n", name);
    memset(&wire->capabilities, 0, sizeof wire->capabilities);
    wire->line_seen = note_capability;
    if (!wire_command(wire, line, (size_t)length, NULL)) {
        wire->line_seen = NULL;
        return false;
    }
    wire->line_seen = NULL;
    code = wire->parser.reply.code;
    /* a server that knows no EHLO: fine where nothing is wanted of it that HELO cannot give */
    if ((code == 500 || code == 501 || code == 502 || code == 504) && !login_is_wanted(wire->tpsp) &&
        wire->tpsp->security != SECURITY_STARTTLS) {
        memset(&wire->capabilities, 0, sizeof wire->capabilities);
        length = snprintf(line, sizeof line, "HELO %s\r\n", name);
        if (!wire_command(wire, line, (size_t)length, NULL))
            return false;
    }
    if (wire->parser.reply.code != 250) {
        memset(&wire->capabilities, 0, sizeof wire->capabilities);
        return wire_refused(wire);
    }
    /* the second one, under TLS, belongs to STARTTLS: the list of steps names each stage once */
    if (wire->tpsp->security != SECURITY_STARTTLS || wire->transport.ssl == NULL)
        wire_stage_done(wire, 250, wire->parser.reply.text);
    return true;
}

static bool negotiate_tls(struct wire *wire)
{
    wire_stage_begin(wire, RELAY_STARTTLS);
    if (!wire->capabilities.starttls) {
        outcome_local(&wire->outcome, "4.7.5",
                      "TLS handshake failed: %s does not offer STARTTLS, and nothing is sent in the clear; "
                      "check port and security",
                      wire->peer);
        return wire_stage_failed(wire);
    }
    if (!wire_command(wire, "STARTTLS\r\n", 10, NULL))
        return false;
    if (wire->parser.reply.code != 220)
        return wire_refused(wire);
    /* What stands behind the 220 was not protected: somebody may have put it there (CVE-2011-0411 and its
     * kin). */
    if (wire->transport.in_start < wire->transport.in_end) {
        wire->usable = false;
        outcome_set(&wire->outcome, OUTCOME_DEFERRED, CAUSE_HOST, 0, "4.7.5",
                    "TLS handshake failed with %s: plain text was injected behind its STARTTLS reply; "
                    "somebody may be tampering with the connection",
                    wire->peer);
        return wire_stage_failed(wire);
    }
    wire->usable = false; /* no QUIT into a broken handshake */
    if (!start_tls(wire))
        return false;
    wire->usable = true;
    return true;
}

/* --- the addresses of the host ------------------------------------------------------------------- */

static bool connect_to(struct wire *wire, const struct dns_address *address)
{
    enum transport_status status;

    snprintf(wire->peer, sizeof wire->peer, "%.90s[%.46s]:%u", wire->host, address->text, wire->tpsp->port);
    wire_stage_begin(wire, RELAY_CONNECT);
    status = transport_connect(&wire->transport, address, connect_deadline(wire));
    if (status != TRANSPORT_OK) {
        verdict_transport(&wire->outcome, RELAY_CONNECT, status, wire->transport.error, wire->peer);
        return wire_stage_failed(wire);
    }
    wire->contacted = true;
    wire_stage_done(wire, 0, wire->peer);
    return true;
}

static bool begin_session(struct wire *wire)
{
    if (wire->tpsp->security == SECURITY_TLS) {
        wire_stage_begin(wire, RELAY_TLS);
        if (!start_tls(wire))
            return false;
    }
    if (!read_greeting(wire) || !say_hello(wire))
        return false;
    return wire->tpsp->security != SECURITY_STARTTLS || (negotiate_tls(wire) && say_hello(wire));
}

/* How far one address brought us. */
struct failure {
    enum relay_stage stage;
    struct outcome outcome;
    char peer[sizeof((struct wire *)0)->peer];
};

static void note_failure(struct failure *failure, const struct wire *wire)
{
    failure->stage = wire->stage;
    failure->outcome = wire->outcome;
    memcpy(failure->peer, wire->peer, sizeof failure->peer);
}

static void leave_address(struct wire *wire)
{
    if (wire->usable) { /* the last word to this server; its answer tells nothing */
        wire_trace(wire, 'C', "QUIT", 4);
        (void)wire_write(wire, "QUIT\r\n", 6);
        if (wire->tpsp->max_connections > 0)
            wire_await_end(wire);
    }
    transport_close(&wire->transport);
    memset(&wire->capabilities, 0, sizeof wire->capabilities);
    wire->tls_text[0] = '\0';
    wire->usable = false;
}

/* "Network is unreachable" for the IPv6 address of a server that did not answer over IPv4. */
static bool is_want_behind_silence(const struct outcome *outcome, const struct outcome *before)
{
    return outcome->cause == CAUSE_OURS && before->cause == CAUSE_UNREACHABLE;
}

/*
 * RFC 5321 section 5.1: each address in its turn, until one of them lets a session begin. A server that
 * refuses us in its greeting is as good as one that does not answer; only from the login on do all of them
 * say the same. When none serves, the one that got furthest says why: "too busy", not "network is
 * unreachable" for an IPv6 address behind it.
 */
static bool try_addresses(struct wire *wire, const struct dns_address *addresses, size_t count)
{
    struct failure furthest = {.stage = RELAY_RESOLVE};

    for (size_t i = 0; i < count; i++) {
        if (connect_to(wire, &addresses[i]) && begin_session(wire))
            return true;
        if (wire->stage > furthest.stage ||
            (wire->stage == furthest.stage && !is_want_behind_silence(&wire->outcome, &furthest.outcome)))
            note_failure(&furthest, wire);
        if (i + 1 == count || clock_monotonic_ms() >= wire->request->deadline_ms)
            break;
        leave_address(wire);
    }
    wire->stage = furthest.stage;
    wire->outcome = furthest.outcome;
    memcpy(wire->peer, furthest.peer, sizeof wire->peer);
    return false;
}

bool wire_open(struct wire *wire)
{
    const struct config_tpsp *tpsp = wire->tpsp;
    struct dns_address *addresses = NULL;
    size_t count = 0;
    enum dns_result result;
    bool begun;

    wire_stage_begin(wire, RELAY_RESOLVE);
    result =
        dns_addresses(wire->resolver, wire->host, tpsp->port, wire->request->deadline_ms, &addresses, &count);
    if (result != DNS_OK || count == 0) {
        outcome_local(&wire->outcome, "4.4.3", "cannot resolve %s: %s%s", wire->host,
                      dns_reason(wire->resolver),
                      result == DNS_NOT_FOUND ? "; check host in the configuration" : "");
        free(addresses);
        return wire_stage_failed(wire);
    }
    wire_stage_done(wire, 0, addresses[0].text);
    begun = try_addresses(wire, addresses, count);
    free(addresses);
    return begun && login_make(wire);
}
