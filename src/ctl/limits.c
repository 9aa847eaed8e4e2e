#include "ctl/limits.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "event/event_store.h"
#include "policy/connections_share.h"

#define SECOND_NS INT64_C(1000000000)
#define COUNTED_MS 60000 /* what was used is known to the minute */

static int64_t seconds_until(const struct rate_table *table, int64_t time_ns)
{
    int64_t wait = time_ns - rate_table_now(table);

    return wait <= 0 ? 0 : (wait + SECOND_NS - 1) / SECOND_NS;
}

/* In a cluster a limit is used by all hosts, of which this one knows its own part alone. */
static int64_t count_used(const struct limits_request *request, const struct rate_limit *limit)
{
    struct outcome ignored;
    uint64_t used;

    if (request->gate->cluster != NULL || limit->rate.window_ms < COUNTED_MS)
        return -1;
    return event_store_used(request->store, request->tpsp->name, limit->provider,
                            clock_realtime_ms() - limit->rate.window_ms, &used, &ignored)
               ? (int64_t)used
               : -1;
}

/* A provider like all others, and to which nothing was sent, says nothing. */
static bool is_shown(const struct limits_request *request, const struct rate_limit *limit)
{
    const struct config_rate *other = &request->tpsp->provider_rates[PROVIDER_DEFAULT];

    return request->all || limit->provider == NULL || limit->entry != NULL ||
           limit->rate.limit != other->limit || limit->rate.window_ms != other->window_ms ||
           strcmp(limit->provider, "default") == 0;
}

bool limits_each(const struct limits_request *request,
                 void (*see)(void *context, const struct limit_now *now), void *context,
                 struct outcome *error_r)
{
    const struct admission_gate *gate = request->gate;

    for (int provider = 0; provider < PROVIDER_COUNT; provider++) {
        struct rate_set set;
        if (!rate_set_init(&set, request->tpsp, (enum provider_category)provider, gate->config->rate_burst,
                           error_r))
            return false;
        for (size_t i = 0; i < set.count; i++) {
            int64_t next;
            if (provider > 0 && set.limits[i].provider == NULL)
                continue; /* those for all come with each provider */
            struct limit_now now = {.limit = &set.limits[i]};
            now.available = admission_peek(gate, &set, i, &next);
            if (!is_shown(request, now.limit))
                continue;
            now.used = count_used(request, now.limit);
            now.next_s = now.available > 0         ? 0
                         : next == ADMISSION_NEVER ? -1
                                                   : seconds_until(gate->table, next);
            see(context, &now);
        }
    }
    return true;
}

struct json_object *limits_json(const struct limit_now *now)
{
    const struct rate_limit *limit = now->limit;
    struct json_object *row = json_object_new_object();

    json_add_number(row, "limit", limit->rate.limit);
    json_add_decimal(row, "window_seconds", (double)limit->rate.window_ms / 1000);
    json_add_text(row, "provider", limit->provider);
    json_add_number(row, "burst", limit->lanes);
    json_add_number(row, "free", now->available);
    json_object_object_add(row, "used", now->used >= 0 ? json_object_new_int64(now->used) : NULL);
    json_object_object_add(row, "next_slot_seconds",
                           now->next_s >= 0 ? json_object_new_int64(now->next_s) : NULL);
    return row;
}

struct breaker limits_breaker(struct rate_table *table, const struct config_tpsp *tpsp)
{
    struct breaker breaker = breaker_look(table, tpsp->name);

    if (breaker.state == BREAKER_OPEN)
        breaker.until_ns -= rate_table_now(table);
    return breaker;
}

struct json_object *limits_breaker_json(const struct breaker *breaker)
{
    static const char *const states[] = {
        [BREAKER_CLOSED] = "closed", [BREAKER_TRY] = "try", [BREAKER_OPEN] = "open"};
    bool waits = breaker->state == BREAKER_OPEN && breaker->until_ns > 0;
    struct json_object *object = json_object_new_object();

    json_add_text(object, "state", states[breaker->state]);
    json_add_number(object, "failures", breaker->failures);
    json_add_flag(object, "of_all_hosts", *breaker_whose(breaker) != '\0');
    json_add_number(object, "retry_seconds", waits ? (breaker->until_ns + SECOND_NS - 1) / SECOND_NS : 0);
    return object;
}

void limits_connections(const struct admission_gate *gate, struct connections_desk *leases,
                        const struct config_tpsp *tpsp, struct limits_connections *connections_r)
{
    *connections_r = (struct limits_connections){.here = connections_count(leases, tpsp)};
    connections_r->of_all_known =
        tpsp->max_connections > 0 && connections_share_count(gate, tpsp, &connections_r->of_all);
}

const char *limits_connections_text(const struct limits_connections *connections,
                                    const struct config_tpsp *tpsp, char text_r[LIMITS_CONNECTIONS_SIZE])
{
    *text_r = '\0';
    if (tpsp->max_connections > 0 && connections->of_all_known)
        snprintf(text_r, LIMITS_CONNECTIONS_SIZE, ", %u of %u connections (%u here)", connections->of_all,
                 tpsp->max_connections, connections->here);
    else if (tpsp->max_connections > 0)
        snprintf(text_r, LIMITS_CONNECTIONS_SIZE, ", %u of %u connections", connections->here,
                 tpsp->max_connections);
    return text_r;
}

struct json_object *limits_connections_json(const struct limits_connections *connections,
                                            const struct config_tpsp *tpsp)
{
    struct json_object *object = json_object_new_object();

    json_add_number(object, "used", connections->here);
    json_add_number(object, "limit", tpsp->max_connections);
    if (connections->of_all_known)
        json_add_number(object, "cluster", connections->of_all);
    return object;
}
