#include "policy/return_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bounce_address.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "policy/dns_cache.h"

/* Bounds of what is remembered, in seconds. A "no" makes messages bounce: it is asked for again soon. */
#define TTL_MAX 86400
#define TTL_NEGATIVE 60
#define TTL_NEGATIVE_MAX 300

enum verdict { VERIFIED, NOT_VERIFIED, UNKNOWN };

/* --- sender domain ---------------------------------------------------------------------------------- */

static void find_domain(const char *from, const char *sender, char domain_r[FROM_DOMAIN_SIZE])
{
    const char *domain = address_domain(sender);

    if (from != NULL && from_header_domain(from, strlen(from), domain_r))
        return;
    if (domain == NULL || !from_header_normalise(domain, strlen(domain), domain_r))
        domain_r[0] = '\0';
}

/* --- static ----------------------------------------------------------------------------------------- */

static bool is_or_is_below(const char *domain, const char *parent, size_t parent_length)
{
    size_t length = strlen(domain);

    return length >= parent_length && strcasecmp(domain + length - parent_length, parent) == 0 &&
           (length == parent_length || domain[length - parent_length - 1] == '.');
}

static enum verdict verify_static(const struct config *config, struct return_path *path)
{
    size_t best = 0;

    for (size_t i = 0; i < config->return_path.domains.count; i++) {
        char listed[FROM_DOMAIN_SIZE];
        const char *item = config->return_path.domains.items[i];
        if (!from_header_normalise(item, strlen(item), listed))
            continue;
        size_t length = strlen(listed);
        if (length > best && is_or_is_below(path->domain, listed, length)) {
            best = length;
            memcpy(path->verified, listed, length + 1);
        }
    }
    if (best > 0)
        snprintf(path->note, sizeof path->note, "return-path.domains lists %.150s", path->verified);
    else
        snprintf(path->note, sizeof path->note, "return-path.domains lists neither it nor a domain above it");
    return best > 0 ? VERIFIED : NOT_VERIFIED;
}

/* --- dns -------------------------------------------------------------------------------------------- */

/* Target of a CNAME, "" when there is none, from the cache or from DNS; NULL when DNS cannot tell. The caller
 * frees. */
static char *cname_target(struct store *store, struct dns_resolver *resolver, const char *name,
                          int64_t deadline_ms)
{
    int64_t now_ms = clock_realtime_ms();
    char *target = dns_cache_get(store, "cname", name, now_ms);
    uint32_t ttl;

    if (target != NULL)
        return target;
    switch (dns_cname(resolver, name, deadline_ms, &target, &ttl)) {
    case DNS_OK:
        ttl = ttl > TTL_MAX ? TTL_MAX : ttl;
        break;
    case DNS_NOT_FOUND:
        target = xstrdup("");
        ttl = ttl == 0 ? TTL_NEGATIVE : ttl > TTL_NEGATIVE_MAX ? TTL_NEGATIVE_MAX : ttl;
        break;
    default:
        return NULL;
    }
    if (ttl > 0)
        dns_cache_put(store, "cname", name, target, now_ms + (int64_t)ttl * 1000);
    return target;
}

static enum verdict verify_dns(const struct config *config, struct store *store,
                               struct dns_resolver *resolver, int64_t deadline_ms, struct return_path *path)
{
    char *name AUTO_FREE = xasprintf("%s.%s", config->return_path.bounce_prefix, path->domain);
    char *wanted AUTO_FREE = xstrdup(config->return_path.cname_target);
    size_t wanted_length = strlen(wanted);

    if (path->domain[0] == '[') {
        snprintf(path->note, sizeof path->note, "an address literal has no CNAME");
        return NOT_VERIFIED;
    }
    if (resolver == NULL) {
        memcpy(path->verified, path->domain, sizeof path->verified);
        snprintf(path->note, sizeof path->note, "not looked up");
        return VERIFIED;
    }
    if (wanted_length > 0 && wanted[wanted_length - 1] == '.')
        wanted[wanted_length - 1] = '\0';
    for (int hop = 0; hop < RETURN_PATH_HOPS; hop++) {
        char *target = cname_target(store, resolver, name, deadline_ms);
        if (target == NULL) {
            snprintf(path->note, sizeof path->note, "CNAME of %.100s: %.80s", name, dns_reason(resolver));
            return UNKNOWN;
        }
        snprintf(path->note, sizeof path->note, "CNAME of %.90s is %.90s", name,
                 *target ? target : "not there");
        free(name);
        name = target;
        if (strcasecmp(target, wanted) == 0) {
            memcpy(path->verified, path->domain, sizeof path->verified);
            return VERIFIED;
        }
        if (*target == '\0')
            return NOT_VERIFIED;
    }
    return NOT_VERIFIED;
}

/* --- decide ----------------------------------------------------------------------------------------- */

static void rewrite(const struct config *config, const char *uuid, struct return_path *path)
{
    bounce_address_format(path->sender, uuid, config->subaccount_id, config->return_path.bounce_prefix,
                          path->verified);
}

bool return_path_decide(const struct config *config, struct store *store, struct dns_resolver *resolver,
                        const char *from, const char *sender, const char *uuid, int64_t deadline_ms,
                        struct return_path *path_r, struct outcome *outcome_r)
{
    enum verdict verdict;

    *path_r = (struct return_path){.note = ""};
    snprintf(path_r->sender, sizeof path_r->sender, "%s", sender);
    find_domain(from, sender, path_r->domain);
    if (*sender == '\0' || config->return_path.verify == VERIFY_OFF) {
        snprintf(path_r->note, sizeof path_r->note, "%s",
                 *sender == '\0' ? "the null sender passes" : "return-path.verify is off");
        return true;
    }
    if (path_r->domain[0] == '\0') {
        snprintf(path_r->note, sizeof path_r->note, "neither From: nor the envelope names a domain");
        verdict = NOT_VERIFIED;
    } else if (config->return_path.verify == VERIFY_STATIC) {
        verdict = verify_static(config, path_r);
    } else {
        verdict = verify_dns(config, store, resolver, deadline_ms, path_r);
    }
    if (verdict == UNKNOWN)
        outcome_local(outcome_r, "4.4.3", "DNS cannot tell now whether the return path of %s is verified: %s",
                      path_r->domain, path_r->note);
    else if (verdict == NOT_VERIFIED)
        outcome_set(outcome_r, OUTCOME_DROPPED, CAUSE_POLICY, 0, "5.7.1",
                    "No verified return path domain configured for sender domain");
    else if (config->return_path.rewrite)
        rewrite(config, uuid, path_r);
    return verdict == VERIFIED;
}
