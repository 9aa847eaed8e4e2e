#include "config/config_schema.h"

#include <string.h>
#include <strings.h>

#include "base/xalloc.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

_Static_assert(sizeof(enum config_security) == sizeof(unsigned), "config_read_word() stores an unsigned");

bool config_fail_key(struct config_reader *reader, const struct config_place *place,
                     const yaml_node_t *mapping, const char *key, const char *why)
{
    const struct config_place below = {.parent = place, .key = key};
    const yaml_node_t *node = config_yaml_find(reader, mapping, key);

    return config_fail(reader, &below, node != NULL ? node : mapping, "%s", why);
}

/* --- lists of the top level ------------------------------------------------------------------ */

static CONFIG_READER(read_mta)
{
    static const char *const words[] = {"postfix", NULL};
    const struct config_key row = {.name = key->name, .detail = words};
    unsigned word;

    if (!config_read_word(reader, place, node, &row, &word))
        return false;
    *(char **)field = xstrdup(words[word]);
    return true;
}

static bool read_strings(struct config_reader *reader, const struct config_place *place,
                         const yaml_node_t *node, config_read *read, const struct config_key *key,
                         struct config_strings *strings)
{
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    strings->items = xcalloc(count, sizeof strings->items[0]);
    strings->count = count;
    return config_yaml_each(reader, place, node, read, key, strings->items, sizeof strings->items[0]);
}

static CONFIG_READER(read_domains)
{
    return read_strings(reader, place, node, config_read_domain, key, field);
}

static CONFIG_READER(read_server)
{
    const char *text = config_yaml_text(reader, place, node);

    (void)key;
    if (text == NULL)
        return false;
    if (!config_address_valid(text, false, true))
        return config_fail(
            reader, place, node,
            "\"%.60s\" is no address of a name server: 192.0.2.1, 192.0.2.1:53, [2001:db8::1]:53", text);
    *(char **)field = xstrdup(text);
    return true;
}

static CONFIG_READER(read_servers)
{
    return read_strings(reader, place, node, read_server, key, field);
}

static CONFIG_READER(read_network)
{
    const char *text = config_yaml_text(reader, place, node);
    struct network network;

    (void)key;
    if (text == NULL)
        return false;
    if (!network_parse(&network, text, strlen(text)))
        return config_fail(reader, place, node,
                           "\"%.60s\" is no network: 192.0.2.0/24, 2001:db8::/32, or one address, and "
                           "nothing set behind the prefix",
                           text);
    networks_add(field, &network);
    return true;
}

static CONFIG_READER(read_networks)
{
    size_t count;

    return config_yaml_list(reader, place, node, &count) &&
           config_yaml_each(reader, place, node, read_network, key, field, 0);
}

static CONFIG_READER(read_schedule)
{
    struct config *config = field;
    size_t count;

    if (!config_yaml_list(reader, place, node, &count))
        return false;
    /* an empty list is no ladder at all */
    config->retry.schedule_ms = xcalloc(count + 1, sizeof config->retry.schedule_ms[0]);
    config->retry.schedule_count = count;
    return config_yaml_each(reader, place, node, config_read_duration, key, config->retry.schedule_ms,
                            sizeof config->retry.schedule_ms[0]);
}

static CONFIG_READER(read_deferred)
{
    const char *text = config_yaml_text(reader, place, node);
    bool deferred = false;

    if (text == NULL)
        return false;
    if (strcasecmp(text, "auto") != 0 && !config_read_bool(reader, place, node, key, &deferred))
        return false;
    *(enum config_deferred *)field = strcasecmp(text, "auto") == 0 ? DEFERRED_AUTO
                                     : deferred                    ? DEFERRED_TRUE
                                                                   : DEFERRED_FALSE;
    return true;
}

/* --- the tables ------------------------------------------------------------------------------ */

static const char *const accepted_as[] = {"delivered", "sent", "none", NULL};
static const char *const dropped_as[] = {"auto", "dropped", "bounced", NULL};
static const char *const verify[] = {"off", "static", "dns", "sendpost", NULL};
static const char *const provider_lookup[] = {"domain", "mx", NULL};

#define FIELD(member) .offset = offsetof(struct config, member)
#define DURATION(member, least, most) \
    .read = config_read_duration, FIELD(member), .min = (least), .max = (most)
#define WORD(member, words) .read = config_read_word, FIELD(member), .detail = (words)
#define BELOW(keys) .read = config_read_mapping, .detail = (keys), .default_text = "{}"

static const struct config_key report_keys[] = {
    {"accepted-as", WORD(report.accepted_as, accepted_as), .default_text = "delivered"},
    {"dropped-as", WORD(report.dropped_as, dropped_as), .default_text = "auto"},
    {"deferred", .read = read_deferred, FIELD(report.deferred), .default_text = "auto"},
    {"deferred-interval", DURATION(report.deferred_interval_ms, 0, 7 * DAY), .default_text = "0s"},
    {"timeout", DURATION(report.timeout_ms, SECOND, 10 * MINUTE), .default_text = "10s"},
    {"patience", DURATION(report.patience_ms, SECOND, 10 * MINUTE), .default_text = "1s"},
    {"tls-ca-path", .read = config_read_directory, FIELD(report.tls.ca_path)},
    {"tls-ca-file", .read = config_read_file, FIELD(report.tls.ca_file)},
    {.name = NULL},
};

static const struct config_key return_path_keys[] = {
    {"verify", WORD(return_path.verify, verify), .default_text = "off"},
    {"domains", .read = read_domains, FIELD(return_path.domains)},
    {"rewrite", .read = config_read_bool, FIELD(return_path.rewrite), .default_text = "true"},
    {"bounce-prefix", .read = config_read_domain, FIELD(return_path.bounce_prefix),
     .default_text = "sp-bounce"},
    {"cname-target", .read = config_read_domain, FIELD(return_path.cname_target),
     .default_text = "sp.sendpost.info"},
    {.name = NULL},
};

static const struct config_key validation_keys[] = {
    {"max-message-size", .read = config_read_size, FIELD(validation.max_message_size),
     .max = (int64_t)1 << 40, .default_text = "50M"},
    {"require-from", .read = config_read_bool, FIELD(validation.require_from), .default_text = "true"},
    {.name = NULL},
};

static const struct config_key suppression_keys[] = {
    {"enabled", .read = config_read_bool, FIELD(suppression.enabled), .default_text = "true"},
    {"on-hard-bounce", .read = config_read_bool, FIELD(suppression.on_hard_bounce), .default_text = "false"},
    {"sub-address", .read = config_read_bool, FIELD(suppression.sub_address), .default_text = "false"},
    {"case-sensitive", .read = config_read_bool, FIELD(suppression.case_sensitive), .default_text = "false"},
    {.name = NULL},
};

static const struct config_key retry_keys[] = {
    {"schedule", .read = read_schedule, .min = SECOND, .max = 30 * DAY,
     .default_text = "[1h, 2h, 3h, 4h, 5h]"},
    {.name = NULL},
};

static const struct config_key statistics_keys[] = {
    {"deferred", .read = config_read_share, FIELD(slow_down.statistics.deferred_ppm), .default_text = "30%"},
    {"bounced", .read = config_read_share, FIELD(slow_down.statistics.bounced_ppm), .default_text = "10%"},
    {"attempts", .read = config_read_count, FIELD(slow_down.statistics.attempts), .min = 1, .max = 1000000,
     .default_text = "50"},
    {"window", DURATION(slow_down.statistics.window_ms, 10 * SECOND, DAY), .default_text = "10m"},
    {.name = NULL},
};

static const struct config_key slow_down_keys[] = {
    {"enabled", .read = config_read_bool, FIELD(slow_down.enabled), .default_text = "true"},
    {"floor", .read = config_read_rate, FIELD(slow_down.floor), .default_text = "1/m"},
    {"recovery", DURATION(slow_down.recovery_ms, SECOND, DAY), .default_text = "10m"},
    {"statistics", BELOW(statistics_keys)},
    {.name = NULL},
};

static const struct config_key dns_keys[] = {
    {"servers", .read = read_servers, FIELD(dns.servers)},
    {"timeout", DURATION(dns.timeout_ms, SECOND, 5 * MINUTE), .default_text = "5s"},
    {.name = NULL},
};

/* tpsps before pools: members are looked up among them. An inline secret before its file. */
static const struct config_key top_keys[] = {
    {"account-id", .read = config_read_number, FIELD(account_id), .min = 1, .max = INT64_MAX,
     .needed = "the number of your SendPost account"},
    {"subaccount-id", .read = config_read_number, FIELD(subaccount_id), .min = 1, .max = INT64_MAX,
     .needed = "the number of your SendPost sub-account"},
    {"state-dir", .read = config_read_absolute_path, FIELD(state_dir),
     .default_text = "/var/lib/postfix-sendpost"},
    {"endpoint", .read = config_read_endpoint, FIELD(endpoint), .default_text = CONFIG_DEFAULT_ENDPOINT},
    {"api-key", .read = config_read_secret, FIELD(api_key)},
    {"api-key-file", .read = config_read_secret_file, FIELD(api_key)},
    {"report", BELOW(report_keys)},
    {"mta", .read = read_mta, FIELD(mta), .default_text = "postfix"},
    {"log-path", .read = config_read_log_path, FIELD(log_path), .default_text = "/var/log/mail.log"},
    {"listen", .read = config_read_listen, FIELD(listen), .default_text = "127.0.0.1:9113"},
    {"batch-size", .read = config_read_count, FIELD(batch_size), .min = 1, .max = 10000,
     .default_text = "100"},
    {"flush-interval", DURATION(flush_interval_ms, SECOND, HOUR), .default_text = "5s"},
    {"tpsps", .read = config_read_tpsps,
     .needed = "at least one server to relay to: - {name: primary, host: …}"},
    {"pools", .read = config_read_pools},
    {"return-path", BELOW(return_path_keys)},
    {"validation", BELOW(validation_keys)},
    {"suppression", BELOW(suppression_keys)},
    {"retry", BELOW(retry_keys)},
    {"delivery-timeout", DURATION(delivery_timeout_ms, SECOND, 15 * MINUTE), .default_text = "10m"},
    {"rate-limit-wait", DURATION(rate_limit_wait_ms, 0, 15 * MINUTE), .default_text = "2s"},
    {"rate-burst", .read = config_read_count, FIELD(rate_burst), .min = 1, .max = RATE_BURST_MAX,
     .default_text = "10"},
    {"provider-lookup", WORD(provider_lookup, provider_lookup), .default_text = "domain"},
    {"slow-down", BELOW(slow_down_keys)},
    {"dns", BELOW(dns_keys)},
    {"sendpost-api", .read = config_read_sendpost, FIELD(sendpost)},
    {"cluster", .read = config_read_cluster, FIELD(cluster)},
    {"events-retention", DURATION(events_retention_ms, MINUTE, 3650 * DAY), .default_text = "7d"},
    {"events-subject", .read = config_read_bool, FIELD(events_subject), .default_text = "true"},
    {"trusted-senders", .read = read_networks, FIELD(trusted_senders)},
    {"uuid-key-file", .read = config_read_uuid_keys, FIELD(uuid_keys)},
    {.name = NULL},
};

/* --- what spans keys ------------------------------------------------------------------------- */

/* Without pools in the file all tpsps form one, in their order. */
static void make_default_pool(struct config *config)
{
    struct config_pool *pool = config->pools = xcalloc(1, sizeof config->pools[0]);

    config->pool_count = 1;
    pool->name = xstrdup("default");
    pool->strategy = STRATEGY_FAILOVER;
    pool->overflow = -1;
    pool->member_count = config->tpsp_count;
    pool->members = xcalloc(pool->member_count, sizeof pool->members[0]);
    for (size_t i = 0; i < pool->member_count; i++)
        pool->members[i] = (struct config_member){.tpsp = i, .weight = 1};
}

bool config_check_tls(struct config_reader *reader, const struct config_place *place, const yaml_node_t *node,
                      struct config_tls *tls)
{
    if (tls->ca_path != NULL && tls->ca_file != NULL)
        return config_fail_key(reader, place, node, "tls-ca-file",
                               "tls-ca-path is given, too; keep one of the two");
    if (tls->ca_path == NULL && tls->ca_file == NULL)
        tls->ca_path = xstrdup(CONFIG_DEFAULT_CA_PATH);
    return true;
}

/*
 * Both have to fit into a delivery. Where only the delivery timeout was made short, the default of the other
 * gives way.
 */
static bool check_timeouts(struct config_reader *reader, const yaml_node_t *root, struct config *config)
{
    const yaml_node_t *report = config_yaml_find(reader, root, "report");
    const struct config_place place = {.key = "report"};

    if (report != NULL && config_yaml_find(reader, report, "timeout") != NULL) {
        if (config->report.timeout_ms >= config->delivery_timeout_ms)
            return config_fail_key(reader, &place, report, "timeout",
                                   "must be shorter than delivery-timeout, which it is a part of");
    } else if (config->report.timeout_ms > config->delivery_timeout_ms / 2)
        config->report.timeout_ms = config->delivery_timeout_ms / 2;

    if (config_yaml_find(reader, root, "rate-limit-wait") != NULL) {
        if (config->rate_limit_wait_ms >= config->delivery_timeout_ms)
            return config_fail_key(reader, NULL, root, "rate-limit-wait",
                                   "must be shorter than delivery-timeout, which it is a part of");
    } else if (config->rate_limit_wait_ms > config->delivery_timeout_ms / 2)
        config->rate_limit_wait_ms = config->delivery_timeout_ms / 2;
    return true;
}

static bool check(struct config_reader *reader, const yaml_node_t *root, struct config *config)
{
    const yaml_node_t *report = config_yaml_find(reader, root, "report");
    const struct config_place report_place = {.key = "report"}, return_path = {.key = "return-path"};

    if (!config_check_tls(reader, &report_place, report != NULL ? report : root, &config->report.tls))
        return false;
    if (config->return_path.verify == VERIFY_STATIC && config->return_path.domains.count == 0)
        return config_fail_key(
            reader, &return_path, config_yaml_find(reader, root, "return-path"), "domains",
            "is empty, so that verify: static would drop every message; list the verified sender domains");
    if (config->return_path.verify == VERIFY_SENDPOST && !config->sendpost.domains)
        return config_fail_key(reader, &return_path, config_yaml_find(reader, root, "return-path"), "verify",
                               "sendpost needs sendpost-api: {sync: [domains]}, from where the domains come");
    if (reader->inline_secret_line > 0 && (reader->mode & 07) != 0) {
        outcome_local(reader->error, "4.3.5",
                      "%s:%zu: a secret in a file that is open to others (mode %04o); chmod o= %s, or move "
                      "the secret into a file of its own (api-key-file, password-file)",
                      reader->path, reader->inline_secret_line, reader->mode, reader->path);
        return false;
    }
    return check_timeouts(reader, root, config);
}

bool config_schema_read(struct config_reader *reader, struct config *config)
{
    const yaml_node_t *root = config_yaml_root(reader);

    config->report.tls.verify = true;
    if (!config_yaml_mapping(reader, NULL, root, top_keys, config) || !check(reader, root, config))
        return false;
    config->credentials_elsewhere = reader->credentials_elsewhere;
    if (config->pool_count == 0)
        make_default_pool(config);
    if (config->uuid_keys.count == 0 &&
        !config_find_uuid_keys(reader, CONFIG_DEFAULT_UUID_KEY, &config->uuid_keys))
        return false;
    return true;
}
