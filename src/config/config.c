#include "config/config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/xalloc.h"
#include "config/config_schema.h"

struct config *config_load(const char *path, struct outcome *error_r)
{
    struct config_reader reader;
    struct config *config = xcalloc(1, sizeof *config);
    bool ok = config_yaml_open(&reader, path, &config->sources, error_r);

    config->path = xstrdup(path);
    if (ok) {
        ok = config_schema_read(&reader, config);
        config_yaml_close(&reader);
    }
    if (ok)
        return config;
    config_free(config);
    return NULL;
}

bool config_is_current(const struct config *config)
{
    for (size_t i = 0; i < config->sources.count; i++)
        if (!file_stamp_current(config->sources.items[i].path, &config->sources.items[i].stamp))
            return false;
    return true;
}

static void free_strings(struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
}

static void free_tpsp(struct config_tpsp *tpsp)
{
    free(tpsp->name);
    free(tpsp->host);
    free(tpsp->username);
    secret_free(&tpsp->password);
    secret_free(&tpsp->oauth_token);
    free(tpsp->login_path);
    config_oauth_free(&tpsp->oauth);
    secret_free(&tpsp->api_key);
    free(tpsp->tls.ca_path);
    free(tpsp->tls.ca_file);
    free(tpsp->tls.cert_file);
    free(tpsp->tls.key_file);
    free(tpsp->service);
    free(tpsp->helo_name);
    free(tpsp->rates);
    free(tpsp->warm_up.plan.days);
    for (size_t i = 0; i < PROVIDER_COUNT; i++)
        free(tpsp->warm_up.providers[i].days);
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->tpsp_count; i++)
        free_tpsp(&config->tpsps[i]);
    free(config->tpsps);
    for (size_t i = 0; i < config->pool_count; i++) {
        free(config->pools[i].name);
        free(config->pools[i].members);
        for (size_t k = 0; k < config->pools[i].route_count; k++)
            free(config->pools[i].routes[k].key);
        free(config->pools[i].routes);
    }
    free(config->pools);
    secret_free(&config->api_key);
    explicit_bzero(&config->uuid_keys, sizeof config->uuid_keys);
    for (size_t i = 0; i < config->sources.count; i++)
        free(config->sources.items[i].path);
    free(config->sources.items);
    free(config->path);
    free(config->state_dir);
    free(config->endpoint);
    free(config->report.tls.ca_path);
    free(config->report.tls.ca_file);
    networks_clear(&config->trusted_senders);
    free(config->mta);
    free(config->log_path);
    free(config->listen);
    free_strings(&config->return_path.domains);
    free(config->return_path.bounce_prefix);
    free(config->return_path.cname_target);
    free(config->retry.schedule_ms);
    config_cluster_free(&config->cluster);
    config_sendpost_free(&config->sendpost);
    free_strings(&config->dns.servers);
    free(config);
}

static const struct config_pool *pool_by_name(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->pool_count; i++)
        if (strcasecmp(config->pools[i].name, name) == 0)
            return &config->pools[i];
    return NULL;
}

const struct config_pool *config_pool_for(const struct config *config, const char *nexthop,
                                          const char *recipient)
{
    const char *domain = address_domain(recipient);

    if (nexthop == NULL || *nexthop == '\0')
        return pool_by_name(config, "default");
    const struct config_pool *pool = pool_by_name(config, nexthop);
    if (pool == NULL && domain != NULL && strcasecmp(nexthop, domain) == 0)
        return pool_by_name(config, "default");
    return pool;
}

const struct config_tpsp *config_tpsp_by_name(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (strcmp(config->tpsps[i].name, name) == 0)
            return &config->tpsps[i];
    return NULL;
}
