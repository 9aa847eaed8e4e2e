#include "relay/remedy.h"

#include <string.h>

#include "base/xalloc.h"

/* The TPSP has enough of us before it has heard a word: its reply to the connection. */
static bool is_refused(enum relay_stage stage, const char *text)
{
    return stage == RELAY_GREETING && strncmp(text, "Service refused", 15) == 0;
}

const char *relay_remedy_keys(enum relay_stage stage, const char *text)
{
    static const char *const keys[RELAY_STAGE_COUNT] = {
        [RELAY_RESOLVE] = "host",
        [RELAY_CONNECT] = "host, port",
        [RELAY_TLS] = "port, security, tls-ca-path",
        [RELAY_GREETING] = "host, port, security",
        [RELAY_EHLO] = "host, port",
        [RELAY_STARTTLS] = "security, tls-ca-path",
        [RELAY_MAIL] = "username, auth",
        [RELAY_RCPT] = "username, auth",
    };

    if (is_refused(stage, text))
        return "max-connections";
    return stage < RELAY_STAGE_COUNT ? keys[stage] : NULL;
}

/* A port that wants TLS first says nothing, and waits. */
static char *of_greeting(const struct config_tpsp *tpsp, const char *text)
{
    bool silent = strncmp(text, "Timeout", 7) == 0 && tpsp->security != SECURITY_TLS;

    if (tpsp->security != SECURITY_TLS && (tpsp->port == 465 || silent))
        return xasprintf("sendpostctl setup --name %s --security tls --port %u", tpsp->name,
                         tpsp->port == 587 ? 465u : (unsigned)tpsp->port);
    return xasprintf("sendpostctl setup --name %s, and correct host and port", tpsp->name);
}

static char *of_tls(const struct config_tpsp *tpsp, const char *text)
{
    if (strstr(text, "does not speak TLS here") != NULL)
        return xasprintf("sendpostctl setup --name %s --security starttls --port %u", tpsp->name,
                         tpsp->port == 465 ? 587u : (unsigned)tpsp->port);
    if (strstr(text, "does not offer STARTTLS") != NULL)
        return xasprintf("sendpostctl setup --name %s --security tls --port 465", tpsp->name);
    return xasprintf("sendpostctl test %s --no-send -v shows the handshake", tpsp->name);
}

char *relay_remedy(const struct config_tpsp *tpsp, enum relay_stage stage, const char *text)
{
    if (is_refused(stage, text))
        return xasprintf("fewer max-connections of %s, or ask the provider whether it lets this address in; "
                         "sendpostctl rates shows how many are used",
                         tpsp->name);
    switch (stage) {
    case RELAY_RESOLVE:
        if (strstr(text, "check host") == NULL) /* nobody has said that the name is wrong */
            return xstrdup("look at /etc/resolv.conf, or name working servers as dns: {servers: […]}; "
                           "sendpostctl check tries them");
        return xasprintf("sendpostctl setup --name %s, and correct host", tpsp->name);
    case RELAY_CONNECT:
        return xasprintf("sendpostctl setup --name %s, and correct host and port", tpsp->name);
    case RELAY_GREETING:
    case RELAY_EHLO:
        return of_greeting(tpsp, text);
    case RELAY_TLS:
    case RELAY_STARTTLS:
        return of_tls(tpsp, text);
    case RELAY_AUTH:
        if (tpsp->oauth.token_endpoint != NULL)
            return xasprintf("sendpostctl setup --oauth %s", tpsp->name);
        return xasprintf("sendpostctl setup --name %s, with the right username and password", tpsp->name);
    default:
        return xasprintf("sendpostctl test %s --no-send -v shows the dialogue", tpsp->name);
    }
}
