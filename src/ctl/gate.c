#include "ctl/gate.h"

#include <string.h>

bool ctl_gate_open(struct ctl_gate *gate_r, const struct config *config, struct outcome *error_r)
{
    memset(gate_r, 0, sizeof *gate_r);
    gate_r->gate.config = config;
    if (!rate_table_open(&gate_r->gate.table, config->state_dir, &rate_clock_system, error_r))
        return false;
    if (config->cluster.server_count == 0)
        return true;
    gate_r->resolver = dns_open((const char *const *)(uintptr_t)config->dns.servers.items,
                                config->dns.servers.count, (int)config->dns.timeout_ms);
    gate_r->tls = tls_contexts_new(NULL);
    gate_r->gate.cluster = cluster_open(&config->cluster, gate_r->resolver, gate_r->tls, error_r);
    if (gate_r->gate.cluster != NULL)
        return true;
    ctl_gate_close(gate_r);
    return false;
}

void ctl_gate_close(struct ctl_gate *gate)
{
    cluster_close(gate->gate.cluster);
    tls_contexts_free(gate->tls);
    dns_close(gate->resolver);
    rate_table_close(gate->gate.table);
}
