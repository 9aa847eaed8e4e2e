/*
 * Where the tokens of a TPSP come from that wants OAuth: endpoints and scopes of the known providers, and how
 * the answers become the oauth section. See setup.h.
 *
 * Google gives no tokens for mail to devices (its page "OAuth 2.0 for TV and Limited-Input Device
 * Applications" lists the scopes that it does give): there the refresh token comes from a login elsewhere.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/url.h"
#include "base/xalloc.h"
#include "config/config_schema.h"
#include "ctl/setup.h"

#define MICROSOFT "https://login.microsoftonline.com/"
#define MICROSOFT_TOKEN "/oauth2/v2.0/token"
#define MICROSOFT_DEVICE "/oauth2/v2.0/devicecode"
#define GOOGLE_TOKEN "https://oauth2.googleapis.com/token"

static bool is(const char *answer, const char *word)
{
    return answer != NULL && strcmp(answer, word) == 0;
}

/* --- the way ------------------------------------------------------------------------------------------- */

/* A login without a password is one with a token; so is each where the server takes nothing else. */
bool setup_uses_oauth(const struct setup *setup)
{
    const char *username = setup->answers[SETUP_USERNAME], *password = setup->answers[SETUP_PASSWORD];

    if (username == NULL || *username == '\0')
        return false;
    return ctl_option(setup->ctl, "oauth-provider") != NULL || setup->tokens_only ||
           (password != NULL && *password == '\0' && setup->before[SETUP_PASSWORD] == NULL);
}

bool setup_oauth_wants(const struct setup *setup, enum setup_question which)
{
    const char *provider = setup->answers[SETUP_PROVIDER];

    if (!setup_uses_oauth(setup))
        return false;
    switch (which) {
    case SETUP_TENANT:
        return is(provider, "microsoft");
    case SETUP_TOKEN_ENDPOINT:
    case SETUP_DEVICE_ENDPOINT:
    case SETUP_SCOPE:
        return is(provider, "other");
    case SETUP_REFRESH_TOKEN:
        return !setup_can_log_in(setup) || ctl_option(setup->ctl, "oauth-refresh-token-file") != NULL;
    default:
        return true;
    }
}

bool setup_can_log_in(const struct setup *setup)
{
    const char *endpoint = setup->answers[SETUP_DEVICE_ENDPOINT];

    return is(setup->answers[SETUP_PROVIDER], "microsoft") ||
           (is(setup->answers[SETUP_PROVIDER], "other") && endpoint != NULL && *endpoint != '\0');
}

/* --- what is suggested --------------------------------------------------------------------------------- */

static bool ends_with(const char *host, const char *end)
{
    size_t length = strlen(host), end_length = strlen(end);

    return length >= end_length && strcasecmp(host + length - end_length, end) == 0;
}

const char *setup_oauth_suggestion(const struct setup *setup, enum setup_question which)
{
    const char *host = setup->answers[SETUP_HOST], *domain = strrchr(setup->answers[SETUP_USERNAME], '@');

    if (which == SETUP_PROVIDER)
        return ends_with(host, ".office365.com") || ends_with(host, ".outlook.com") ? "microsoft"
               : ends_with(host, ".gmail.com") || ends_with(host, ".google.com")    ? "google"
                                                                                    : "other";
    /* a domain that an organization has registered stands for its tenant */
    return which != SETUP_TENANT ? NULL : domain != NULL && domain[1] != '\0' ? domain + 1 : "organizations";
}

const char *setup_oauth_fault(enum setup_question which, const char *answer)
{
    struct url url;

    switch (which) {
    case SETUP_PROVIDER:
        return is(answer, "microsoft") || is(answer, "google") || is(answer, "other")
                   ? NULL
                   : "one of microsoft, google and other is needed";
    case SETUP_TOKEN_ENDPOINT:
    case SETUP_DEVICE_ENDPOINT:
        return url_parse(answer, &url) == URL_OK && url.tls ? NULL : "a URL is needed (https://…)";
    default:
        return NULL;
    }
}

/* --- the configuration that is there ------------------------------------------------------------------- */

static char *tenant_of(const char *token_endpoint)
{
    size_t length = strlen(token_endpoint), begin = sizeof MICROSOFT - 1, end = sizeof MICROSOFT_TOKEN - 1;

    if (length <= begin + end || strncmp(token_endpoint, MICROSOFT, begin) != 0 ||
        !ends_with(token_endpoint, MICROSOFT_TOKEN))
        return NULL;
    return xstrndup(token_endpoint + begin, length - begin - end);
}

void setup_oauth_fill_in(struct setup *setup, const struct config_oauth *oauth)
{
    char **before = setup->before, *tenant = tenant_of(oauth->token_endpoint);
    bool google = strcmp(oauth->token_endpoint, GOOGLE_TOKEN) == 0;

    before[SETUP_PROVIDER] = xstrdup(tenant != NULL ? "microsoft" : google ? "google" : "other");
    before[SETUP_TENANT] = tenant;
    before[SETUP_TOKEN_ENDPOINT] = xstrdup(oauth->token_endpoint);
    before[SETUP_DEVICE_ENDPOINT] = xstrdup(oauth->device_endpoint != NULL ? oauth->device_endpoint : "");
    before[SETUP_SCOPE] = xstrdup(oauth->scope != NULL ? oauth->scope : "");
    before[SETUP_CLIENT_ID] = xstrdup(oauth->client_id);
    before[SETUP_CLIENT_SECRET] = oauth->client_secret != NULL ? xstrdup("") : NULL;
    before[SETUP_REFRESH_TOKEN] = oauth->refresh_token != NULL ? xstrdup("") : NULL;
}

const struct config_oauth *setup_oauth_before(const struct setup *setup)
{
    const struct config_tpsp *tpsp = setup->old != NULL && !setup->adds
                                         ? config_tpsp_by_name(setup->old, setup->answers[SETUP_NAME])
                                         : NULL;

    return tpsp != NULL && tpsp->oauth.token_endpoint != NULL ? &tpsp->oauth : NULL;
}

/* A token is one provider's, and one client's. */
static bool is_same_client(const struct setup *setup)
{
    static const enum setup_question of_client[] = {SETUP_PROVIDER,        SETUP_TENANT, SETUP_TOKEN_ENDPOINT,
                                                    SETUP_DEVICE_ENDPOINT, SETUP_SCOPE,  SETUP_CLIENT_ID};

    for (size_t i = 0; i < sizeof of_client / sizeof of_client[0]; i++) {
        const char *before = setup->before[of_client[i]], *now = setup->answers[of_client[i]];
        if (setup_oauth_wants(setup, of_client[i]) && strcmp(before != NULL ? before : "", now) != 0)
            return false;
    }
    return true;
}

bool setup_oauth_differs(const struct setup *setup)
{
    return setup_oauth_before(setup) == NULL || !is_same_client(setup) ||
           *setup->answers[SETUP_CLIENT_SECRET] != '\0' || *setup->answers[SETUP_REFRESH_TOKEN] != '\0';
}

bool setup_needs_login(const struct setup *setup)
{
    const struct config_oauth *before = setup_oauth_before(setup);

    return setup_uses_oauth(setup) && setup_can_log_in(setup) &&
           *setup->answers[SETUP_REFRESH_TOKEN] == '\0' &&
           (before == NULL || before->refresh_token == NULL || !is_same_client(setup));
}

/* --- the section --------------------------------------------------------------------------------------- */

static void add(struct json_object *section, const char *key, const char *value)
{
    if (value != NULL && *value != '\0')
        json_object_object_add(section, key, json_object_new_string(value));
}

static void add_endpoints(const struct setup *setup, struct json_object *section)
{
    char *const *answers = setup->answers;

    if (is(answers[SETUP_PROVIDER], "microsoft")) {
        AUTO_FREE char *token = xasprintf(MICROSOFT "%s" MICROSOFT_TOKEN, answers[SETUP_TENANT]);
        AUTO_FREE char *device = xasprintf(MICROSOFT "%s" MICROSOFT_DEVICE, answers[SETUP_TENANT]);
        add(section, "token-endpoint", token);
        add(section, "device-endpoint", device);
        add(section, "scope", "https://outlook.office.com/SMTP.Send offline_access");
    } else if (is(answers[SETUP_PROVIDER], "google")) {
        add(section, "token-endpoint", GOOGLE_TOKEN);
        add(section, "scope", "https://mail.google.com/");
    } else {
        add(section, "token-endpoint", answers[SETUP_TOKEN_ENDPOINT]);
        add(section, "device-endpoint", answers[SETUP_DEVICE_ENDPOINT]);
        add(section, "scope", answers[SETUP_SCOPE]);
    }
}

/* A JSON object is a YAML mapping in one line. */
char *setup_oauth_section(const struct setup *setup, const char *client_secret, const char *refresh_token)
{
    const struct config_oauth *before = setup_oauth_before(setup);
    struct json_object *section = json_object_new_object();

    add_endpoints(setup, section);
    add(section, "client-id", setup->answers[SETUP_CLIENT_ID]);
    add(section, "client-secret-file", client_secret);
    add(section, "refresh-token-file", refresh_token);
    if (before != NULL) {
        if (before->tls.ca_path != NULL && strcmp(before->tls.ca_path, CONFIG_DEFAULT_CA_PATH) != 0)
            add(section, "tls-ca-path", before->tls.ca_path);
        add(section, "tls-ca-file", before->tls.ca_file);
    }
    char *text = xstrdup(
        json_object_to_json_string_ext(section, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(section);
    return text;
}
