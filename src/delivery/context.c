/* What deliveries of a process share: opened for the first of them. */
#include "base/clock.h"
#include "cluster/cluster.h"
#include "delivery/deliver.h"
#include "delivery/intent.h"
#include "delivery/recover.h"
#include "net/dns.h"
#include "net/tls.h"

bool deliver_open(struct deliver_context *context, struct outcome *error_r)
{
    const struct config *config = context->config;
    struct outcome ignored;

    if (context->reporter != NULL)
        return store_renew(context->store, error_r);
    if (!store_open(&context->store, config->state_dir, error_r) ||
        !rate_table_open(&context->rates, config->state_dir, &rate_clock_system, error_r))
        return false;
    context->resolver = dns_open((const char *const *)config->dns.servers.items, config->dns.servers.count,
                                 (int)config->dns.timeout_ms);
    context->leases = connections_open(config);
    if (config->cluster.server_count > 0) {
        context->cluster_tls = tls_contexts_new(config->state_dir);
        context->cluster = cluster_open(&config->cluster, context->resolver, context->cluster_tls, error_r);
        if (context->cluster == NULL)
            return false;
    }
    context->marks = mark_table_open(config->state_dir, error_r);
    if (context->marks == NULL)
        return false;
    recover(config, context->store, context->marks);
    intent_sweep(context->store, clock_realtime_ms(), &ignored);
    context->counters = counters_open(config->state_dir);
    context->relay = relay_open(config->state_dir, config->path, context->resolver);
    context->oauth = oauth_open(config, context->trace);
    relay_use_oauth(context->relay, context->oauth);
    context->reporter = event_reporter_open(config, context->store,
                                            &(struct event_reporter_options){.trace = context->trace});
    return true;
}

void deliver_close(struct deliver_context *context)
{
    event_reporter_close(context->reporter);
    relay_close(context->relay);
    oauth_close(context->oauth);
    dns_close(context->resolver);
    cluster_close(context->cluster);
    tls_contexts_free(context->cluster_tls);
    connections_close(context->leases);
    counters_close(context->counters);
    rate_table_close(context->rates);
    store_close(context->store);
}
