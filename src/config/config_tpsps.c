/* The servers to relay to. */
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"
#include "config/config_schema.h"

static const char *const security[] = {"none", "starttls", "tls", NULL};
static const char *const auth[] = {"auto",          "none",    "plain",       "login",
                                   "scram-sha-256", "xoauth2", "oauthbearer", NULL};
static const char *const engine[] = {"auto", "libesmtp", "libcurl", NULL};

static CONFIG_READER(read_rates)
{
    struct config_tpsp *tpsp = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count > 14) /* RATE_SET_CONFIGURED of policy/rate_limit.h, less the global and the provider's */
        return config_fail(reader, place, node, "has more than 14 windows; keep the strictest");
    tpsp->rates = xcalloc(count, sizeof tpsp->rates[0]);
    tpsp->rate_count = count;
    return config_yaml_each(reader, place, node, config_read_rate, key, tpsp->rates, sizeof tpsp->rates[0]);
}

/* "global", "rates", "warm-up", or a mailbox provider */
static CONFIG_READER(read_shadowed)
{
    struct config_shadow *shadow = field;
    const char *text = config_yaml_text(reader, place, node);
    enum provider_category category;

    (void)key;
    if (text == NULL)
        return false;
    if (strcmp(text, "global") == 0)
        shadow->global = true;
    else if (strcmp(text, "rates") == 0)
        shadow->rates = true;
    else if (strcmp(text, "warm-up") == 0)
        shadow->warm_up = true;
    else if (provider_category_by_name(text, &category))
        shadow->providers[category] = true;
    else
        return config_fail(
            reader, place, node,
            "\"%.60s\" names no limit; global, rates, warm-up, or one of provider-rates is meant", text);
    return true;
}

static CONFIG_READER(read_shadow)
{
    size_t count;

    return config_yaml_list(reader, place, node, &count) &&
           config_yaml_each(reader, place, node, read_shadowed, key, field, 0);
}

#define FIELD(member) .offset = offsetof(struct config_tpsp, member)
#define TIMEOUT(member) .read = config_read_duration, FIELD(member), .min = 1000, .max = 15 * 60 * 1000
#define WORD(member, words) .read = config_read_word, FIELD(member), .detail = (words)

static const struct config_key tpsp_keys[] = {
    {"name", .read = config_read_name, FIELD(name), .needed = "it a name of its own, for logs and pools"},
    {"id", .read = config_read_number, FIELD(id), .min = 0, .max = INT64_MAX},
    {"host", .read = config_read_host, FIELD(host), .needed = "the name or address of the SMTP server"},
    {"port", .read = config_read_port, FIELD(port)},
    {"service", .read = config_read_service, FIELD(service), .default_text = "auto"},
    {"helo-name", .read = config_read_helo_name, FIELD(helo_name)},
    {"security", WORD(security, security), .default_text = "starttls"},
    {"auth", WORD(auth, auth), .default_text = "auto"},
    {"auth-without-tls", .read = config_read_bool, FIELD(auth_without_tls), .default_text = "false"},
    {"username", .read = config_read_text, FIELD(username)},
    {"password", .read = config_read_secret, FIELD(password)},
    {"password-file", .read = config_read_secret_file, FIELD(password)},
    {"oauth-token", .read = config_read_secret, FIELD(oauth_token)},
    {"oauth-token-file", .read = config_read_secret_file, FIELD(oauth_token)},
    {"oauth", .read = config_read_oauth, FIELD(oauth)},
    {"engine", WORD(engine, engine), .default_text = "auto"},
    {"tls-verify", .read = config_read_bool, FIELD(tls.verify), .default_text = "true"},
    {"tls-ca-path", .read = config_read_directory, FIELD(tls.ca_path)},
    {"tls-ca-file", .read = config_read_file, FIELD(tls.ca_file)},
    {"tls-cert-file", .read = config_read_noted_file, FIELD(tls.cert_file)},
    {"tls-key-file", .read = config_read_private_path, FIELD(tls.key_file)},
    {"connect-timeout", TIMEOUT(connect_timeout_ms), .default_text = "30s"},
    {"command-timeout", TIMEOUT(command_timeout_ms), .default_text = "5m"},
    {"max-connections", .read = config_read_count, FIELD(max_connections), .min = 0, .max = CONNECTIONS_MAX,
     .default_text = "0"},
    {"max-rate-per-hour", .read = config_read_rate_per_hour, FIELD(global_rate), .default_text = "100"},
    {"rates", .read = read_rates, .min = 1},
    {"provider-rates", .read = config_read_provider_rates, FIELD(provider_rates), .default_text = "{}"},
    {"warm-up", .read = config_read_warm_up, FIELD(warm_up)},
    {"shadow", .read = read_shadow, FIELD(shadow)},
    {"api-key", .read = config_read_secret, FIELD(api_key)},
    {"api-key-file", .read = config_read_secret_file, FIELD(api_key)},
    {.name = NULL},
};

#undef FIELD
#undef WORD

static bool check_login(struct config_reader *reader, const struct config_place *place,
                        const yaml_node_t *node, const struct config_tpsp *tpsp)
{
    bool login = tpsp->auth == AUTH_PLAIN || tpsp->auth == AUTH_LOGIN || tpsp->auth == AUTH_SCRAM_SHA_256;

    bool by_token = tpsp->auth == AUTH_XOAUTH2 || tpsp->auth == AUTH_OAUTHBEARER;
    bool has_token = tpsp->oauth_token != NULL || tpsp->oauth.token_endpoint != NULL;

    if (tpsp->oauth_token != NULL && tpsp->oauth.token_endpoint != NULL)
        return config_fail_key(reader, place, node, "oauth",
                               "is given, and a token as well; remove oauth-token and oauth-token-file");
    if (by_token && !has_token)
        return config_fail_key(reader, place, node, "oauth-token-file",
                               tpsp->auth == AUTH_XOAUTH2
                                   ? "is missing; auth: xoauth2 needs it, or oauth"
                                   : "is missing; auth: oauthbearer needs it, or oauth");
    if (tpsp->username == NULL && (login || by_token))
        return config_fail_key(reader, place, node, "username", "is missing; this auth needs it");
    if (tpsp->username == NULL && (tpsp->password != NULL || has_token))
        return config_fail_key(reader, place, node, "username",
                               "is missing; a password or token is of no use without it");
    if (tpsp->username == NULL || tpsp->auth == AUTH_NONE)
        return true;
    if (tpsp->password == NULL && (login || !has_token))
        return config_fail_key(reader, place, node, "password-file",
                               "is missing; the username needs it (or say auth: none)");
    if (tpsp->security == SECURITY_NONE && !tpsp->auth_without_tls)
        return config_fail_key(
            reader, place, node, "security",
            "none would send the password in the clear; use starttls or tls, or say auth-without-tls: true");
    return true;
}

static bool check_client_certificate(struct config_reader *reader, const struct config_place *place,
                                     const yaml_node_t *node, const struct config_tls *tls)
{
    if (tls->cert_file != NULL && tls->key_file == NULL)
        return config_fail_key(reader, place, node, "tls-key-file", "is missing; tls-cert-file needs it");
    if (tls->cert_file == NULL && tls->key_file != NULL)
        return config_fail_key(reader, place, node, "tls-cert-file", "is missing; tls-key-file needs it");
    return true;
}

/* A credential of the service manager has no file that anybody could mend. */
static void note_login_file(struct config_reader *reader, const yaml_node_t *node, struct config_tpsp *tpsp)
{
    const char *key = tpsp->password != NULL ? "password-file" : "oauth-token-file";
    const yaml_node_t *path = config_yaml_find(reader, node, key);

    if (path != NULL && path->type == YAML_SCALAR_NODE && path->data.scalar.value[0] == '/')
        tpsp->login_path = xstrdup((const char *)path->data.scalar.value);
}

static CONFIG_READER(read_tpsp)
{
    struct config *config = field;
    struct config_tpsp *tpsp = &config->tpsps[config->tpsp_count++];

    (void)key;
    if (!config_yaml_mapping(reader, place, node, tpsp_keys, tpsp))
        return false;
    note_login_file(reader, node, tpsp);
    if (tpsp->port == 0)
        tpsp->port = tpsp->security == SECURITY_TLS ? 465 : 587;
    for (size_t i = 0; i + 1 < config->tpsp_count; i++)
        if (strcasecmp(config->tpsps[i].name, tpsp->name) == 0)
            return config_fail_key(reader, place, node, "name",
                                   "is the name of another tpsp already; choose another one");
    return config_check_tls(reader, place, node, &tpsp->tls) &&
           check_client_certificate(reader, place, node, &tpsp->tls) &&
           check_login(reader, place, node, tpsp);
}

CONFIG_READER(config_read_tpsps)
{
    struct config *config = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count == 0)
        return config_fail(reader, place, node, "is empty; give %s", key->needed);
    config->tpsps = xcalloc(count, sizeof config->tpsps[0]);
    return config_yaml_each(reader, place, node, read_tpsp, key, config, 0);
}
