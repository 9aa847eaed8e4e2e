#include "policy/provider.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "policy/dns_cache.h"
#include "policy/provider_rules.h"

/* Bounds of what is remembered, in seconds. */
#define TTL_MIN 60
#define TTL_MAX 86400
#define TTL_NEGATIVE_MAX 3600
#define TTL_TROUBLE 60

#define HOSTS_MAX 20  /* MX hosts that are looked at, in the order of preference */
#define NO_ANSWER "?" /* remembered instead of hosts: DNS had trouble */

char *provider_file(const struct config *config)
{
    const char *slash = strrchr(config->path, '/');

    return xasprintf("%.*sproviders", slash == NULL ? 0 : (int)(slash - config->path + 1), config->path);
}

static struct provider_rules *open_rules(const struct config *config)
{
    char *path AUTO_FREE = provider_file(config);
    struct outcome error;
    struct provider_rules *rules = provider_rules_open(path, &error);

    if (rules == NULL) {
        log_line(LOG_WARNING, "%s; the built-in table is used alone", error.text);
        rules = provider_rules_open(NULL, &error);
    }
    return rules;
}

/* The recipient's domain as the tables have it; "" when it has none that fits. */
static void normalise(const char *recipient, char domain_r[PROVIDER_NAME_SIZE])
{
    const char *domain = address_domain(recipient);
    size_t length = domain == NULL ? 0 : strlen(domain);

    if (length > 0 && domain[length - 1] == '.')
        length--;
    if (length >= PROVIDER_NAME_SIZE)
        length = 0;
    for (size_t i = 0; i < length; i++)
        domain_r[i] = (char)tolower((unsigned char)domain[i]);
    domain_r[length] = '\0';
}

static bool found(const struct provider_rule *rule, enum provider_how how, const char *host,
                  struct provider *provider)
{
    if (rule == NULL)
        return false;
    provider->category = rule->category;
    provider->how = how;
    snprintf(provider->pattern, sizeof provider->pattern, "%s", rule->pattern);
    snprintf(provider->host, sizeof provider->host, "%s", host);
    return true;
}

/* --- MX ------------------------------------------------------------------------------------------------ */

static char *join_hosts(const struct dns_mx *records, size_t count)
{
    char *joined = xstrdup("");

    for (size_t i = 0; i < count && i < HOSTS_MAX; i++) {
        char *longer = xasprintf("%s%s%s", joined, i > 0 ? " " : "", records[i].host);
        free(joined);
        joined = longer;
    }
    return joined;
}

static uint32_t bounded(uint32_t ttl, uint32_t max)
{
    return ttl < TTL_MIN ? TTL_MIN : ttl > max ? max : ttl;
}

static char *ask_dns(struct dns_resolver *resolver, const char *domain, int64_t deadline_ms, uint32_t *ttl_r)
{
    struct dns_mx *records;
    size_t count;
    char *hosts;

    switch (dns_mx(resolver, domain, deadline_ms, &records, &count, ttl_r)) {
    case DNS_OK:
        *ttl_r = bounded(*ttl_r, TTL_MAX);
        hosts = join_hosts(records, count);
        break;
    case DNS_NOT_FOUND:
        *ttl_r = bounded(*ttl_r, TTL_NEGATIVE_MAX);
        hosts = xstrdup("");
        break;
    default:
        *ttl_r = TTL_TROUBLE;
        hosts = xstrdup(NO_ANSWER);
    }
    dns_mx_free(records, count);
    return hosts;
}

/* MX hosts of the domain, separated by spaces, from the cache or from DNS; the caller frees. */
static char *mx_hosts(struct store *store, struct dns_resolver *resolver, const char *domain,
                      int64_t deadline_ms, struct provider *provider)
{
    int64_t now_ms = clock_realtime_ms();
    char *hosts = dns_cache_get(store, "mx", domain, now_ms);
    const char *reason = "as DNS said before";
    uint32_t ttl;

    if (hosts == NULL) {
        hosts = ask_dns(resolver, domain, deadline_ms, &ttl);
        reason = dns_reason(resolver);
        dns_cache_put(store, "mx", domain, hosts, now_ms + (int64_t)ttl * 1000);
    }
    if (strcmp(hosts, NO_ANSWER) == 0)
        snprintf(provider->note, sizeof provider->note, "no answer for its MX records: %s", reason);
    else if (*hosts == '\0')
        snprintf(provider->note, sizeof provider->note, "no MX host: %s", reason);
    return hosts;
}

static bool match_hosts(const struct provider_rules *rules, const char *hosts,
                        const struct provider_rule *(*match)(const struct provider_rules *,
                                                             enum provider_kind, const char *),
                        struct provider *provider)
{
    for (const char *host = hosts + strspn(hosts, " "); *host != '\0'; host += strspn(host, " ")) {
        size_t length = strcspn(host, " ");
        char *name AUTO_FREE = xstrndup(host, length);
        if (found(match(rules, PROVIDER_MX, name), PROVIDER_BY_MX, name, provider))
            return true;
        host += length;
    }
    return false;
}

void provider_find(const struct config *config, struct store *store, struct dns_resolver *resolver,
                   const char *recipient, int64_t deadline_ms, struct provider *provider_r)
{
    struct provider_rules *rules = open_rules(config);
    char domain[PROVIDER_NAME_SIZE];

    *provider_r = (struct provider){.category = PROVIDER_DEFAULT};
    normalise(recipient, domain);
    if (!found(provider_rules_exact(rules, PROVIDER_DOMAIN, domain), PROVIDER_BY_DOMAIN, "", provider_r) &&
        !found(provider_rules_wildcard(rules, PROVIDER_DOMAIN, domain), PROVIDER_BY_DOMAIN, "", provider_r) &&
        config->provider_lookup == PROVIDER_LOOKUP_MX && resolver != NULL && *domain != '\0' &&
        *domain != '[') {
        char *hosts AUTO_FREE = mx_hosts(store, resolver, domain, deadline_ms, provider_r);
        if (!match_hosts(rules, hosts, provider_rules_exact, provider_r))
            match_hosts(rules, hosts, provider_rules_wildcard, provider_r);
    }
    provider_rules_close(rules);
}
