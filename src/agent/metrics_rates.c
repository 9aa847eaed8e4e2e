/* The rate slots of each TPSP, read from the shared memory that the pipes use. */
#include "agent/metrics.h"
#include "policy/rate_limit.h"

static void write_limit(FILE *out, struct rate_table *table, const char *tpsp, struct rate_limit *limit)
{
    char rate[RATE_TEXT_SIZE];
    int64_t next;
    unsigned available = rate_limit_peek(table, limit, &next);

    if (limit->provider != NULL && limit->entry == NULL)
        return; /* nothing was ever sent there: 27 providers with nothing to say */
    fprintf(out, "sendpost_agent_rate_slots_free{tpsp=\"%s\",provider=\"%s\",limit=\"%s\"} %u\n", tpsp,
            limit->provider != NULL ? limit->provider : "", rate_text(&limit->rate, rate), available);
}

void metrics_write_rates(FILE *out, const struct config *config)
{
    struct rate_table *table;
    struct outcome error;

    if (!rate_table_open(&table, config->state_dir, &rate_clock_system, &error))
        return;
    fprintf(out,
            "# HELP sendpost_agent_rate_slots_free Messages that may be sent at once under a rate limit.\n"
            "# TYPE sendpost_agent_rate_slots_free gauge\n");
    for (size_t i = 0; i < config->tpsp_count; i++)
        for (int provider = 0; provider < PROVIDER_COUNT; provider++) {
            struct rate_set set;
            if (!rate_set_init(&set, &config->tpsps[i], (enum provider_category)provider, config->rate_burst,
                               &error))
                break;
            for (size_t j = 0; j < set.count;
                 j++) /* the global ones come with each provider: once is enough */
                if (provider == 0 || set.limits[j].provider != NULL)
                    write_limit(out, table, config->tpsps[i].name, &set.limits[j]);
        }
    rate_table_close(table);
}
