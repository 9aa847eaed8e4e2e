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

/* NOT_CONVERTED: an internationalised domain, for trouble of ours */
enum verdict { VERIFIED, NOT_VERIFIED, UNKNOWN, NOT_CONVERTED };

/* --- sender domain ---------------------------------------------------------------------------------- */

/* "" and FROM_DOMAIN_NONE or FROM_DOMAIN_UNKNOWN when there is none. */
static enum from_domain find_domain(const char *from, const char *sender, char domain_r[FROM_DOMAIN_SIZE])
{
    const char *domain = address_domain(sender);
    enum from_domain found =
        from != NULL ? from_header_domain(from, strlen(from), domain_r) : FROM_DOMAIN_NONE;

    if (found == FROM_DOMAIN_NONE && domain != NULL)
        found = from_header_normalise(domain, strlen(domain), domain_r);
    if (found != FROM_DOMAIN_FOUND)
        domain_r[0] = '\0';
    return found;
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
        if (from_header_normalise(item, strlen(item), listed) != FROM_DOMAIN_FOUND)
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
    if (store != NULL)
        store_read_end(store); /* it is waited for */
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

/* --- sendpost ----------------------------------------------------------------------------------------- */

/* The account's answer for this very name (sendpost/sync.h keeps the table): 1, 0, or -1 when the store
 * cannot tell. */
static int account_knows(struct store *store, const char *name, bool *verified_r,
                         char host_r[FROM_DOMAIN_SIZE])
{
    struct outcome ignored;
    sqlite3_stmt *statement =
        store_statement(store, "SELECT verified, host FROM sendpost_domain WHERE name = ?", &ignored);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int step = store_step(store, statement, &ignored);
    if (step > 0) {
        *verified_r = sqlite3_column_int(statement, 0) != 0;
        snprintf(host_r, FROM_DOMAIN_SIZE, "%s", (const char *)sqlite3_column_text(statement, 1));
    }
    sqlite3_reset(statement);
    return step;
}

/* What stands before the domain in the name that the account has for bounces: "sp-bounces" or "sp-bounce",
 * the documents have both. Unless it is below the domain, our default does. */
static void take_prefix(const char *host, const char *domain, char prefix_r[FROM_DOMAIN_SIZE])
{
    size_t host_length = strlen(host), length = strlen(domain);

    if (host_length > length + 1 && host[host_length - length - 1] == '.' &&
        strcasecmp(host + host_length - length, domain) == 0)
        snprintf(prefix_r, FROM_DOMAIN_SIZE, "%.*s", (int)(host_length - length - 1), host);
}

/* The nearest domain that the account has, from the sender domain upwards, decides. */
static enum verdict verify_sendpost(struct store *store, struct return_path *path,
                                    char prefix_r[FROM_DOMAIN_SIZE])
{
    for (const char *name = path->domain; name != NULL && strchr(name, '.') != NULL;
         name = strchr(name, '.') + 1) {
        bool verified = false;
        char host[FROM_DOMAIN_SIZE];
        int known = account_knows(store, name, &verified, host);
        if (known < 0) {
            snprintf(path->note, sizeof path->note, "the store cannot tell");
            return UNKNOWN;
        }
        if (known == 0)
            continue;
        snprintf(path->note, sizeof path->note, "SendPost has %.120s %s", name,
                 verified ? "as verified" : "without a verified return path");
        if (!verified)
            return NOT_VERIFIED;
        snprintf(path->verified, sizeof path->verified, "%s", name);
        take_prefix(host, name, prefix_r);
        return VERIFIED;
    }
    snprintf(path->note, sizeof path->note, "SendPost has neither it nor a domain above it");
    return NOT_VERIFIED;
}

/* --- decide ----------------------------------------------------------------------------------------- */

static void rewrite(const struct config *config, const char *uuid, const char *prefix,
                    struct return_path *path)
{
    bounce_address_format(path->sender, uuid, config->subaccount_id, prefix, path->verified);
}

static enum verdict verify(const struct config *config, struct store *store, struct dns_resolver *resolver,
                           int64_t deadline_ms, struct return_path *path, char prefix_r[FROM_DOMAIN_SIZE])
{
    if (config->return_path.verify == VERIFY_STATIC)
        return verify_static(config, path);
    if (config->return_path.verify == VERIFY_SENDPOST && store != NULL &&
        store_get_number(store, "sendpost.domains") > 0)
        return verify_sendpost(store, path, prefix_r);
    /* nothing was heard of the account yet: DNS tells */
    return verify_dns(config, store, resolver, deadline_ms, path);
}

static void refuse(enum verdict verdict, struct return_path *path, struct outcome *outcome_r)
{
    if (verdict == NOT_CONVERTED) {
        snprintf(
            path->note, sizeof path->note,
            "an internationalised domain cannot be turned into the form that DNS knows; the log says why");
        outcome_local(outcome_r, "4.3.0", "nobody can tell now whether the return path is verified: %s",
                      path->note);
    } else if (verdict == UNKNOWN) {
        outcome_local(outcome_r, "4.4.3", "DNS cannot tell now whether the return path of %s is verified: %s",
                      path->domain, path->note);
    } else {
        outcome_set(outcome_r, OUTCOME_DROPPED, CAUSE_POLICY, 0, "5.7.1",
                    "No verified return path domain configured for sender domain");
    }
}

bool return_path_decide(const struct config *config, struct store *store, struct dns_resolver *resolver,
                        const char *from, const char *sender, const char *uuid, int64_t deadline_ms,
                        struct return_path *path_r, struct outcome *outcome_r)
{
    char prefix[FROM_DOMAIN_SIZE];
    enum verdict verdict;

    snprintf(prefix, sizeof prefix, "%s", config->return_path.bounce_prefix);
    *path_r = (struct return_path){.note = ""};
    snprintf(path_r->sender, sizeof path_r->sender, "%s", sender);
    enum from_domain found = find_domain(from, sender, path_r->domain);
    if (*sender == '\0' || config->return_path.verify == VERIFY_OFF) {
        snprintf(path_r->note, sizeof path_r->note, "%s",
                 *sender == '\0' ? "the null sender passes" : "return-path.verify is off");
        return true;
    }
    if (found == FROM_DOMAIN_FOUND) {
        verdict = verify(config, store, resolver, deadline_ms, path_r, prefix);
    } else if (found == FROM_DOMAIN_UNKNOWN) {
        verdict = NOT_CONVERTED;
    } else {
        snprintf(path_r->note, sizeof path_r->note, "neither From: nor the envelope names a domain");
        verdict = NOT_VERIFIED;
    }
    if (verdict != VERIFIED)
        refuse(verdict, path_r, outcome_r);
    else if (config->return_path.rewrite)
        rewrite(config, uuid, prefix, path_r);
    return verdict == VERIFIED;
}
