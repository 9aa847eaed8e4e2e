/* sendpostctl check: names that must resolve, and an event API that must answer. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/check.h"
#include "event/event_client.h"
#include "net/dns.h"

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

/* --- the event API --------------------------------------------------------------------------- */

/*
 * A batch without events is the one request that changes nothing anywhere; an API that looks at the key
 * before the body answers for the key.
 */
static void look_key(struct check *check, struct event_client *client, const char *whose, const char *key)
{
    static const char empty[] = "{\"events\":[]}";
    const char *endpoint = check->config->endpoint;
    struct event_answer answer;

    event_client_post(client, key, empty, strlen(empty), check->config->report.timeout_ms, &answer);
    if (answer.status == 0)
        check_say(check, CHECK_FAILURE,
                  "look at name, firewall and certificate; mail goes out meanwhile, and events are kept",
                  "%s cannot be reached: %s", endpoint, answer.text);
    else if (answer.status == 401 || answer.status == 403)
        check_say(check, CHECK_FAILURE,
                  "create an event API key in SendPost, and put it into the file of api-key-file",
                  "the key of %s is refused: %s", whose, answer.text);
    else if (answer.status == 404 || answer.status == 405 || answer.status / 100 == 3)
        check_say(check, CHECK_FAILURE, "correct the endpoint", "%s takes no events: %s", endpoint,
                  answer.text);
    else if (answer.status == 408 || answer.status == 429 || answer.status / 100 == 5)
        check_say(check, CHECK_WARNING, "try again later; mail goes out meanwhile, and events are kept",
                  "the API is in trouble: %s", answer.text);
    else
        check_say(check, CHECK_OK, NULL, "the API answers, and does not refuse the key of %s", whose);
}

static void look_api(struct check *check)
{
    const struct config *config = check->config;
    struct event_client *client = event_client_open(config);

    if (config->api_key != NULL)
        look_key(check, client, "the account", config->api_key);
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].api_key != NULL) {
            AUTO_FREE char *whose = xasprintf("tpsp %s", config->tpsps[i].name);
            look_key(check, client, whose, config->tpsps[i].api_key);
        }
    event_client_close(client);
}

void check_network(struct check *check)
{
    check->subject = "names";
    check_as_user(check, look_names);
    check->subject = "events";
    if (check->config->endpoint != NULL)
        check_as_user(check, look_api);
}
