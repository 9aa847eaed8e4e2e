/* What deliveries of a process share: opened for the first of them. */
#include "base/clock.h"
#include "cluster/cluster.h"
#include "delivery/deliver.h"
#include "delivery/intent.h"
#include "delivery/recover.h"
#include "net/dns.h"
#include "net/tls.h"
#include "policy/connections_share.h"

static void end_kept_session(void *relay, const struct config_tpsp *tpsp)
{
    relay_end_kept(relay, tpsp);
}

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
        context->host = connections_share_host(context->store, error_r);
        if (context->host == 0)
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
    connections_on_let_go(context->leases, end_kept_session, context->relay);
    context->reporter = event_reporter_open(config, context->store,
                                            &(struct event_reporter_options){.trace = context->trace});
    return true;
}

struct admission_gate deliver_gate(const struct deliver_context *context)
{
    return (struct admission_gate){.config = context->config,
                                   .table = context->rates,
                                   .cluster = context->cluster,
                                   .leases = context->leases,
                                   .host = context->host};
}

void deliver_disconnect(const struct deliver_context *context, const struct config_tpsp *tpsp)
{
    const struct admission_gate gate = deliver_gate(context);

    if (context->leases != NULL && connections_is_held(context->leases, tpsp))
        connections_share_end(&gate, tpsp);
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
