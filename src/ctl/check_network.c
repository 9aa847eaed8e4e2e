/* sendpostctl check: names that must resolve, and an event API that must answer. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "ctl/check.h"
#include "ctl/oauth_words.h"
#include "event/event_report.h"
#include "net/dns.h"
#include "oauth/oauth.h"

#define TOKEN_MS 20000

/* remedy: where the name is to be corrected. */
static void look_name(struct check *check, struct dns_resolver *resolver, const char *what, const char *host,
                      uint16_t port, const char *remedy)
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
        check_say(check, CHECK_FAILURE, remedy, "%s: %s does not exist (%s)", what, host,
                  dns_reason(resolver));
        break;
    case DNS_TROUBLE:
        check_say(check, CHECK_FAILURE,
                  "look at /etc/resolv.conf, or name working servers as dns: {servers: […]}",
                  "%s: %s cannot be looked up: %s", what, host, dns_reason(resolver));
        break;
    }
    free(addresses);
}

static void look_names(struct check *check)
{
    const struct config *config = check->config;
    struct dns_resolver *resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                             config->dns.servers.count, (int)config->dns.timeout_ms);

    for (size_t i = 0; i < config->tpsp_count; i++) {
        AUTO_FREE char *what = xasprintf("tpsp %s", config->tpsps[i].name);
        AUTO_FREE char *remedy =
            xasprintf("sendpostctl setup --name %s, and correct host", config->tpsps[i].name);
        look_name(check, resolver, what, config->tpsps[i].host, config->tpsps[i].port, remedy);
    }
    if (config->endpoint != NULL) {
        struct url url;
        url_parse(config->endpoint, &url); /* config_load() has accepted it */
        look_name(check, resolver, "event endpoint", url.host, url.port,
                  "correct endpoint in the configuration, or have the name put into the DNS");
    }
    dns_close(resolver);
}

/* --- the event API --------------------------------------------------------------------------- */

static void look_key(struct check *check, struct event_reporter *reporter, const char *whose, const char *key)
{
    const char *endpoint = check->config->endpoint;
    enum event_answer answer = event_reporter_probe(reporter, key);
    const char *words = event_reporter_last_error(reporter);

    switch (answer) {
    case EVENT_ANSWER_ACCEPTED:
    case EVENT_ANSWER_REFUSED:
        check_say(check, CHECK_OK, NULL, "the API answers, and does not refuse the key of %s", whose);
        break;
    case EVENT_ANSWER_KEY_REFUSED:
        check_say(check, CHECK_FAILURE,
                  "create an event API key in SendPost, and put it into the file of api-key-file; then: "
                  "sendpostctl "
                  "events flush",
                  "the key of %s is refused: %s", whose, words);
        break;
    case EVENT_ANSWER_MISCONFIGURED:
        check_say(check, CHECK_FAILURE, "correct the endpoint", "%s takes no events: %s", endpoint, words);
        break;
    default:
        if (strncmp(words, "HTTP", 4) == 0)
            check_say(check, CHECK_WARNING, "try again later; mail goes out meanwhile, and events are kept",
                      "the API is in trouble: %s", words);
        else {
            AUTO_FREE char *remedy =
                xasprintf("look at name, firewall and certificate (curl -v %s); mail goes "
                          "out meanwhile, and events are kept",
                          endpoint);
            check_say(check, CHECK_FAILURE, remedy, "%s cannot be reached: %s", endpoint, words);
        }
    }
}

/* Events carry our time; the API's is the one that SendPost shows. */
static void look_date(struct check *check, int64_t theirs_s)
{
    int64_t apart_s = clock_realtime_ms() / 1000 - theirs_s;

    if (theirs_s == 0)
        return;
    check->subject = "clock";
    if (apart_s > CLOCK_APART_S || apart_s < -CLOCK_APART_S)
        check_say(check, CHECK_FAILURE, "timedatectl set-ntp true",
                  "is %lld seconds %s the event API's: events would have wrong times, and certificates and "
                  "tokens may be "
                  "refused",
                  (long long)(apart_s < 0 ? -apart_s : apart_s), apart_s < 0 ? "behind" : "ahead of");
    else
        check_say(check, CHECK_OK, NULL, "agrees with the event API's");
    check->subject = "events";
}

static void look_api(struct check *check)
{
    const struct config *config = check->config;
    struct event_reporter *reporter =
        event_reporter_open(config, NULL, &(struct event_reporter_options){.trace = NULL});

    if (config->api_key != NULL)
        look_key(check, reporter, "the account", config->api_key);
    for (size_t i = 0; i < config->tpsp_count; i++)
        if (config->tpsps[i].api_key != NULL) {
            AUTO_FREE char *whose = xasprintf("tpsp %s", config->tpsps[i].name);
            look_key(check, reporter, whose, config->tpsps[i].api_key);
        }
    look_date(check, event_reporter_date_s(reporter));
    event_reporter_close(reporter);
}

/* A token that is good for a while is asked for: fetched anew where there is none. */
static void look_tokens(struct check *check)
{
    const struct config *config = check->config;
    struct oauth *oauth = oauth_open(config, NULL);

    for (size_t i = 0; i < config->tpsp_count; i++) {
        const struct config_tpsp *tpsp = &config->tpsps[i];
        struct outcome error;
        bool ok;
        if (tpsp->oauth.token_endpoint == NULL)
            continue;
        if (!oauth_keep(oauth, tpsp, 0, clock_monotonic_ms() + TOKEN_MS, &error)) {
            check_say(check, CHECK_FAILURE,
                      "look at oauth in the configuration; sendpostctl setup --oauth makes a new login", "%s",
                      error.text);
            continue;
        }
        AUTO_FREE char *words = oauth_words(config, tpsp, &ok);
        check_say(check, ok ? CHECK_OK : CHECK_WARNING,
                  ok ? NULL : "sendpostctl setup --oauth makes a new login", "tpsp %s: %s", tpsp->name,
                  words);
    }
    oauth_close(oauth);
}

void check_network(struct check *check)
{
    check->subject = "names";
    check_as_user(check, look_names);
    check->subject = "tokens";
    check_as_user(check, look_tokens);
    check->subject = "events";
    if (check->config->endpoint != NULL)
        check_as_user(check, look_api);
}
