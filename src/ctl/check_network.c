/* sendpostctl check: names that must resolve. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/dns.h"
#include "base/xalloc.h"
#include "ctl/check.h"

static void look_name(struct check *check, struct dns_resolver *resolver, const char *what, const char *host,
                      uint16_t port)
{
    struct dns_address *addresses = NULL;
    size_t count = 0;
    int64_t deadline = clock_monotonic_ms() + check->config->dns.timeout_ms;

    switch (dns_addresses(resolver, host, port, deadline, &addresses, &count)) {
    case DNS_OK:
        check_say(check, CHECK_OK, NULL, "%s: %s is %s%s", what, host, addresses[0].text,
                  count > 1 ? " and others" : "");
        break;
    case DNS_NOT_FOUND:
        check_say(check, CHECK_FAILURE, "correct the name, or have it put into the DNS",
                  "%s: %s does not exist (%s)", what, host, dns_reason(resolver));
        break;
    case DNS_TROUBLE:
        check_say(check, CHECK_FAILURE,
                  "look at /etc/resolv.conf, or name working servers as dns: {servers: […]}",
                  "%s: %s cannot be looked up: %s", what, host, dns_reason(resolver));
        break;
    }
    free(addresses);
}

/* The host of an endpoint that config_load() has accepted: https://HOST[:PORT]/PATH. */
static char *endpoint_host(const char *endpoint)
{
    const char *host = strstr(endpoint, "://") + 3;

    if (*host == '[')
        return xstrndup(host + 1, strcspn(host + 1, "]"));
    return xstrndup(host, strcspn(host, ":/?"));
}

static void look_names(struct check *check)
{
    const struct config *config = check->config;
    struct dns_resolver *resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                             config->dns.servers.count, (int)config->dns.timeout_ms);

    for (size_t i = 0; i < config->tpsp_count; i++) {
        AUTO_FREE char *what = xasprintf("tpsp %s", config->tpsps[i].name);
        look_name(check, resolver, what, config->tpsps[i].host, config->tpsps[i].port);
    }
    if (config->endpoint != NULL) {
        AUTO_FREE char *host = endpoint_host(config->endpoint);
        look_name(check, resolver, "event endpoint", host, 443);
    }
    dns_close(resolver);
}

void check_network(struct check *check)
{
    check->subject = "names";
    check_as_user(check, look_names);
}
