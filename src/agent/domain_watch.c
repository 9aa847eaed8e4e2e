#include "agent/domain_watch.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "policy/return_path.h"
#include "sendpost/sync_store.h"

#define EVERY_MS 600000
#define LOOKING_MS 60000
#define STORE_MS 300
#define UUID "00000000-0000-5000-8000-000000000000" /* of a message that is none */

struct domain_watch {
    const struct config *config;
    pthread_mutex_t lock;
    struct domain_fact facts[DOMAIN_WATCH_MAX];
    size_t count;
    int64_t looked_ms, asked_ms; /* 0: never */
};

struct list {
    struct domain_fact *facts;
    size_t count;
};

static void take(struct list *list, const char *name)
{
    if (list->count < DOMAIN_WATCH_MAX)
        snprintf(list->facts[list->count++].name, sizeof list->facts->name, "%.255s", name);
}

static void take_theirs(void *context, struct api_domain *domain)
{
    take(context, domain->name);
}

/* As a delivery would ask with return-path.verify dns, whatever is configured. */
static void ask(const struct config *config, struct dns_resolver *resolver, struct domain_fact *fact)
{
    struct config by_dns = *config;
    AUTO_FREE char *from = xasprintf("postmaster@%s", fact->name);
    struct return_path path;
    struct outcome outcome;

    by_dns.return_path.verify = VERIFY_DNS;
    fact->leads = return_path_decide(&by_dns, NULL, resolver, from, from, UUID,
                                     clock_monotonic_ms() + config->dns.timeout_ms, &path, &outcome);
    fact->known = fact->leads || outcome.class == OUTCOME_DROPPED;
    snprintf(fact->note, sizeof fact->note, "%s", path.note);
}

static size_t gather(const struct config *config, struct domain_fact *facts)
{
    struct list list = {.facts = facts};
    struct outcome ignored;
    struct store *store;

    for (size_t i = 0; config->return_path.verify == VERIFY_STATIC && i < config->return_path.domains.count;
         i++)
        take(&list, config->return_path.domains.items[i]);
    if (config->return_path.verify == VERIFY_SENDPOST &&
        store_open_to_read(&store, config->state_dir, clock_monotonic_ms() + STORE_MS, &ignored)) {
        sync_store_each_domain(store, take_theirs, &list, &ignored);
        store_close(store);
    }
    struct dns_resolver *resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                             config->dns.servers.count, (int)config->dns.timeout_ms);
    for (size_t i = 0; i < list.count; i++)
        ask(config, resolver, &facts[i]);
    dns_close(resolver);
    return list.count;
}

static void *run(void *context)
{
    struct domain_watch *watch = context;

    for (;; sleep(1)) {
        int64_t now_ms = clock_monotonic_ms();
        pthread_mutex_lock(&watch->lock);
        bool due = watch->looked_ms > 0 && now_ms < watch->looked_ms + LOOKING_MS &&
                   (watch->asked_ms == 0 || now_ms > watch->asked_ms + EVERY_MS);
        pthread_mutex_unlock(&watch->lock);
        if (!due)
            continue;
        struct domain_fact fresh[DOMAIN_WATCH_MAX] = {{.known = false}};
        size_t count = gather(watch->config, fresh);
        pthread_mutex_lock(&watch->lock);
        memcpy(watch->facts, fresh, sizeof fresh);
        watch->count = count;
        watch->asked_ms = clock_monotonic_ms();
        pthread_mutex_unlock(&watch->lock);
    }
    return NULL;
}

struct domain_watch *domain_watch_start(const struct config *config)
{
    pthread_t thread;

    if (!config->return_path.rewrite ||
        (config->return_path.verify != VERIFY_STATIC && config->return_path.verify != VERIFY_SENDPOST))
        return NULL;
    struct domain_watch *watch = xcalloc(1, sizeof *watch);
    watch->config = config;
    pthread_mutex_init(&watch->lock, NULL);
    if (pthread_create(&thread, NULL, run, watch) == 0)
        pthread_detach(thread);
    return watch;
}

size_t domain_watch_look(struct domain_watch *watch, struct domain_fact facts_r[DOMAIN_WATCH_MAX])
{
    if (watch == NULL)
        return 0;
    pthread_mutex_lock(&watch->lock);
    size_t count = watch->count;
    memcpy(facts_r, watch->facts, sizeof watch->facts);
    watch->looked_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&watch->lock);
    return count;
}
