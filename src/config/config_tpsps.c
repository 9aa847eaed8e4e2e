/* The servers to relay to, and the pools made of them. */
#include <string.h>
#include <strings.h>

#include "base/nearest.h"
#include "base/xalloc.h"
#include "config/config_schema.h"

/* --- tpsps ----------------------------------------------------------------------------------- */

static const char *const security[] = {"none", "starttls", "tls", NULL};
static const char *const auth[] = {"auto",          "none",    "plain",       "login",
                                   "scram-sha-256", "xoauth2", "oauthbearer", NULL};
static const char *const engine[] = {"auto", "libesmtp", "libcurl", NULL};
static const char *const strategy[] = {"failover", "round-robin", "weighted", NULL};

static CONFIG_READER(read_rates)
{
    struct config_tpsp *tpsp = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count > 14) /* RATE_SET_MAX of policy/rate_limit.h, less the global and the provider's */
        return config_fail(reader, place, node, "has more than 14 windows; keep the strictest");
    tpsp->rates = xcalloc(count, sizeof tpsp->rates[0]);
    tpsp->rate_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct config_place entry = {.parent = place, .index = i};
        if (!config_read_rate(reader, &entry, config_yaml_entry(reader, node, i), key, &tpsp->rates[i]))
            return false;
    }
    return true;
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
    {"max-rate-per-hour", .read = config_read_rate_per_hour, FIELD(global_rate), .default_text = "100"},
    {"rates", .read = read_rates, .min = 1},
    {"provider-rates", .read = config_read_provider_rates, FIELD(provider_rates), .default_text = "{}"},
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

static bool read_tpsp(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      struct config *config)
{
    struct config_tpsp *tpsp = &config->tpsps[config->tpsp_count++];

    if (!config_yaml_mapping(reader, place, node, tpsp_keys, tpsp))
        return false;
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
    for (size_t i = 0; i < count; i++) {
        const struct config_place entry = {.parent = place, .index = i};
        if (!read_tpsp(reader, &entry, config_yaml_entry(reader, node, i), config))
            return false;
    }
    return true;
}

/* --- pools ----------------------------------------------------------------------------------- */

static const char *tpsp_name(const void *context, size_t index)
{
    return ((const struct config *)context)->tpsps[index].name;
}

static const char *pool_name(const void *context, size_t index)
{
    return ((const struct config *)context)->pools[index].name;
}

static bool fail_name(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      const char *what, const char *text, const char *nearest)
{
    if (nearest != NULL)
        return config_fail(reader, place, node, "there is no %s \"%.60s\"; did you mean \"%s\"?", what, text,
                           nearest);
    return config_fail(reader, place, node, "there is no %s \"%.60s\"; define it, or correct the name", what,
                       text);
}

/* The name of a tpsp becomes its index. */
static CONFIG_READER(read_member_tpsp)
{
    const struct config *config = key->detail;
    struct config_member *member = field;
    const char *text = config_yaml_text(reader, place, node);

    if (text == NULL)
        return false;
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (strcmp(config->tpsps[i].name, text) == 0) {
            member->tpsp = i;
            return true;
        }
    return fail_name(reader, place, node, "tpsp", text,
                     nearest_name(text, tpsp_name, config, config->tpsp_count));
}

static bool read_member(struct config_reader *reader, const struct config_place *place,
                        const yaml_node_t *node, const struct config *config, struct config_pool *pool)
{
    const struct config_key keys[] = {
        {"tpsp", .read = read_member_tpsp, .detail = config, .needed = "the name of one of the tpsps"},
        {"weight", .read = config_read_count, .offset = offsetof(struct config_member, weight), .min = 1,
         .max = 1000000, .default_text = "1"},
        {.name = NULL},
    };
    struct config_member *member = &pool->members[pool->member_count++];

    member->weight = 1;
    /* a bare name is a member of weight 1 */
    if (node->type == YAML_SCALAR_NODE ? !read_member_tpsp(reader, place, node, &keys[0], member)
                                       : !config_yaml_mapping(reader, place, node, keys, member))
        return false;
    for (size_t i = 0; i + 1 < pool->member_count; i++)
        if (pool->members[i].tpsp == member->tpsp)
            return config_fail(reader, place, node, "\"%s\" is a member already; give it a weight instead",
                               config->tpsps[member->tpsp].name);
    return true;
}

static CONFIG_READER(read_members)
{
    struct config_pool *pool = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count == 0)
        return config_fail(reader, place, node, "is empty; name at least one of the tpsps");
    pool->members = xcalloc(count, sizeof pool->members[0]);
    for (size_t i = 0; i < count; i++) {
        const struct config_place entry = {.parent = place, .index = i};
        if (!read_member(reader, &entry, config_yaml_entry(reader, node, i), key->detail, pool))
            return false;
    }
    return true;
}

static bool read_pool(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      struct config *config)
{
    const struct config_key keys[] = {
        {"name", .read = config_read_name, .offset = offsetof(struct config_pool, name),
         .needed = "it a name, the nexthop in Postfix's transport map"},
        {"strategy", .read = config_read_word, .offset = offsetof(struct config_pool, strategy),
         .detail = strategy, .default_text = "failover"},
        {"members", .read = read_members, .detail = config, .needed = "a list of tpsps: [{tpsp: primary}]"},
        {"overflow", .read = config_read_later},
        {.name = NULL},
    };
    struct config_pool *pool = &config->pools[config->pool_count++];

    pool->overflow = -1;
    if (!config_yaml_mapping(reader, place, node, keys, pool))
        return false;
    for (size_t i = 0; i + 1 < config->pool_count; i++)
        if (strcasecmp(config->pools[i].name, pool->name) == 0)
            return config_fail_key(reader, place, node, "name",
                                   "is the name of another pool already; choose another one");
    return true;
}

/* Once every pool is known by name. */
static bool read_overflow(struct config_reader *reader, const struct config_place *place,
                          const yaml_node_t *pool_node, struct config *config, size_t index)
{
    const struct config_place below = {.parent = place, .key = "overflow"};
    const yaml_node_t *node = config_yaml_find(reader, pool_node, "overflow");
    const char *text = node == NULL ? NULL : config_yaml_text(reader, &below, node);

    if (node == NULL || text == NULL)
        return node == NULL;
    size_t to = 0;
    while (to < config->pool_count && strcasecmp(config->pools[to].name, text) != 0)
        to++;
    if (to == config->pool_count)
        return fail_name(reader, &below, node, "pool", text,
                         nearest_name(text, pool_name, config, config->pool_count));
    config->pools[index].overflow = (ptrdiff_t)to;
    /* only a chain that comes back here can have become a cycle by this link */
    for (ptrdiff_t at = (ptrdiff_t)to; at >= 0; at = config->pools[at].overflow)
        if (at == (ptrdiff_t)index)
            return config_fail(reader, &below, node,
                               "leads back to this pool in a circle; leave it out in one of them");
    return true;
}

CONFIG_READER(config_read_pools)
{
    struct config *config = field;
    size_t count;

    (void)key;
    if (!config_yaml_list(reader, place, node, &count))
        return false;
    if (count == 0)
        return config_fail(reader, place, node, "is empty; remove it, and all tpsps form the pool default");
    config->pools = xcalloc(count, sizeof config->pools[0]);
    for (size_t i = 0; i < count; i++) {
        const struct config_place entry = {.parent = place, .index = i};
        if (!read_pool(reader, &entry, config_yaml_entry(reader, node, i), config))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct config_place entry = {.parent = place, .index = i};
        if (!read_overflow(reader, &entry, config_yaml_entry(reader, node, i), config, i))
            return false;
    }
    return true;
}
