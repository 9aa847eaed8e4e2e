/* sendpostctl check: each sender domain: what SendPost says of it, what the DNS says, and what to publish. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/check.h"
#include "net/dns.h"
#include "policy/return_path.h"
#include "sendpost/sync_store.h"

struct looking {
    struct check *check;
    struct dns_resolver *resolver;
    bool mute; /* name servers that do not answer are asked once */
};

/* The end of the aliases of name, "" when it is none; NULL when the DNS cannot tell. The caller frees. */
static char *follow(struct looking *looking, const char *name, const char *target)
{
    char *at = xstrdup(name), *next;
    uint32_t ttl;

    for (int hop = 0; hop < RETURN_PATH_HOPS && strcasecmp(at, target) != 0; hop++) {
        int64_t deadline_ms = clock_monotonic_ms() + looking->check->config->dns.timeout_ms;
        enum dns_result result = dns_cname(looking->resolver, at, deadline_ms, &next, &ttl);
        if (result == DNS_NOT_FOUND)
            break;
        free(at);
        if (result == DNS_TROUBLE)
            return NULL;
        at = next;
    }
    if (strcasecmp(at, name) == 0)
        *at = '\0';
    return at;
}

static void say_published(struct looking *looking, const struct api_domain *domain, const char *end)
{
    struct check *check = looking->check;
    bool leads = strcasecmp(end, domain->target) == 0;
    AUTO_FREE char *remedy = xasprintf("publish  %s.  CNAME  %s.", domain->host, domain->target);

    if (leads && domain->verified)
        check_say(check, CHECK_OK, NULL, "%s: %s leads to %s, and SendPost has verified it", domain->name,
                  domain->host, domain->target);
    else if (leads)
        check_say(check, CHECK_WARNING, "have it verified at SendPost, then sendpostctl sync",
                  "%s: %s leads to %s, but SendPost has not verified it: mail from it is dropped",
                  domain->name, domain->host, domain->target);
    else
        check_say(check, CHECK_WARNING, remedy, "%s: %s %s%s: %s", domain->name, domain->host,
                  *end == '\0' ? "is no CNAME" : "leads to ", end,
                  domain->verified ? "SendPost has verified it once, but bounces do not come back"
                                   : "mail from it is dropped");
}

/* What is not said stands in the configuration. */
static void set_defaults(const struct config *config, struct api_domain *domain)
{
    if (domain->host[0] == '\0')
        snprintf(domain->host, sizeof domain->host, "%.60s.%.250s", config->return_path.bounce_prefix,
                 domain->name);
    if (domain->target[0] == '\0')
        snprintf(domain->target, sizeof domain->target, "%.300s", config->return_path.cname_target);
    size_t length = strlen(domain->target);
    if (length > 0 && domain->target[length - 1] == '.')
        domain->target[length - 1] = '\0';
}

static void look_domain(void *context, struct api_domain *domain)
{
    struct looking *looking = context;

    set_defaults(looking->check->config, domain);
    AUTO_FREE char *end = looking->mute ? NULL : follow(looking, domain->host, domain->target);
    if (end != NULL) {
        say_published(looking, domain, end);
        return;
    }
    if (!looking->mute)
        check_say(looking->check, CHECK_WARNING,
                  "look at /etc/resolv.conf, or name working servers as dns: {servers: […]}",
                  "whether %s leads to %s cannot be looked up: %s", domain->host, domain->target,
                  dns_reason(looking->resolver));
    looking->mute = true;
    check_say(looking->check, domain->verified ? CHECK_OK : CHECK_WARNING,
              domain->verified ? NULL : "have it verified at SendPost, then sendpostctl sync",
              "%s: SendPost has %sverified it", domain->name, domain->verified ? "" : "not ");
}

static void look(struct check *check)
{
    const struct config *config = check->config;
    struct looking looking = {.check = check};
    struct outcome error;
    struct store *store;

    if (!store_open(&store, config->state_dir, &error)) {
        check_say(check, CHECK_FAILURE, "see state", "%s", error.text);
        return;
    }
    looking.resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                config->dns.servers.count, (int)config->dns.timeout_ms);
    int count = sync_store_each_domain(store, look_domain, &looking, &error);
    if (count < 0)
        check_say(check, CHECK_FAILURE, "see state", "%s", error.text);
    else if (count == 0)
        check_say(check, CHECK_WARNING, "sendpostctl sync asks SendPost; until then the DNS decides",
                  "no sender domain of the account is known here yet");
    dns_close(looking.resolver);
    store_close(store);
}

void check_domains(struct check *check)
{
    check->subject = "domains";
    if (check->config->return_path.verify == VERIFY_SENDPOST)
        check_as_user(check, look);
}
