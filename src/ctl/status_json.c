/* `sendpostctl status --json`. */
#include "base/json.h"
#include "ctl/limits.h"
#include "ctl/queue_json.h"
#include "ctl/status_private.h"
#include "ctl/status_shared.h"
#include "oauth/token_file.h"

static struct json_object *counts_json(const struct status_counts *counts)
{
    struct json_object *object = json_object_new_object();

    json_add_number(object, "delivered", (int64_t)counts->delivered);
    json_add_number(object, "deferred", (int64_t)counts->deferred);
    json_add_number(object, "dropped", (int64_t)counts->dropped);
    json_add_number(object, "bounced", (int64_t)counts->bounced);
    json_add_number(object, "soft_bounced", (int64_t)counts->soft_bounced);
    return object;
}

static void add_token(struct json_object *row, const struct status *status, const struct config_tpsp *tpsp)
{
    struct token_state state;

    if (tpsp->oauth.token_endpoint == NULL)
        return;
    token_file_read(status->config->state_dir, tpsp, &state);
    json_add_time(row, "token_expires_at", state.access_token != NULL ? state.expires_ms : 0);
    json_add_time(row, "login_expires_at", state.refresh_expires_ms);
    token_state_clear(&state);
}

static struct json_object *tpsp_json(const struct status *status, const struct status_tpsp *tpsp)
{
    struct json_object *row = json_object_new_object();

    json_add_text(row, "tpsp", tpsp->config->name);
    json_object_object_add(row, "breaker", limits_breaker_json(&tpsp->breaker));
    if (tpsp->config->max_connections > 0)
        json_object_object_add(row, "connections", limits_connections_json(&tpsp->connections, tpsp->config));
    json_add_number(row, "max_rate_per_hour", tpsp->config->global_rate.limit);
    json_add_number(row, "accepted_last_hour", (int64_t)tpsp->last_hour);
    json_add_number(row, "accepted_last_day", (int64_t)tpsp->day.delivered);
    json_add_number(row, "deferred_last_day", (int64_t)tpsp->day.deferred);
    json_add_number(row, "dropped_last_day", (int64_t)tpsp->day.dropped);
    json_object_object_add(row, "last_day", counts_json(&tpsp->day));
    json_object_object_add(row, "limits", json_object_get(tpsp->limits_json));
    json_object_object_add(row, "slow_down", json_object_get(tpsp->slow_down_json));
    json_add_time(row, "certificate_expires_at", tpsp->certificate_ms);
    add_token(row, status, tpsp->config);
    return row;
}

static struct json_object *held_json(const struct status *status)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < status->held_count; i++) {
        struct json_object *row = json_object_new_object();
        const struct held *held = &status->held[i];
        json_add_text(row, "tpsp", held->tpsp->name);
        json_add_time(row, "since", held->standing.held_ms);
        json_add_number(row, "messages", held->messages);
        json_add_text(row, "text", held->standing.text);
        json_add_text(row, "mend", held->standing.mend);
        json_object_array_add(list, row);
    }
    return list;
}

static struct json_object *trouble_json(const struct status *status)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < status->trouble_count; i++) {
        struct json_object *row = json_object_new_object();
        json_add_text(row, "text", status->trouble[i].text);
        json_add_text(row, "command", status->trouble[i].command);
        json_object_array_add(list, row);
    }
    return list;
}

static void add_surroundings(struct json_object *json, const struct status *status)
{
    struct json_object *disk = json_object_new_object(), *log = json_object_new_object();

    json_add_text(disk, "path", status->config->state_dir);
    json_add_number(disk, "free_bytes", status->disk_free);
    json_add_number(disk, "size_bytes", status->disk_size);
    json_object_object_add(json, "disk", disk);
    json_add_text(log, "path", status->config->log_path);
    json_add_time(log, "written_at", status->log_written_ms);
    json_add_time(log, "last_line_at", status->log_line_ms);
    json_object_object_add(json, "log", log);
}

static struct json_object *tpsps_json(const struct status *status)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < status->config->tpsp_count; i++)
        json_object_array_add(list, tpsp_json(status, &status->tpsps[i]));
    return list;
}

void status_print_json(const struct status *status)
{
    struct json_object *json = json_object_new_object(), *errors = json_object_new_array();

    for (size_t i = 0; i < status->error_count; i++)
        json_object_array_add(errors, event_to_json(&status->errors[i], NULL));
    json_add_flag(json, "ok", status->trouble_count == 0);
    json_object_object_add(json, "trouble", trouble_json(status));
    json_add_text(json, "version", PACKAGE_VERSION);
    json_object_object_add(json, "last_day", counts_json(&status->day));
    json_object_object_add(json, "tpsps", tpsps_json(status));
    json_object_object_add(json, "queue",
                           queue_json(status->queue_known ? &status->backlog : NULL, status->why_no_queue));
    json_add_number(json, "waiting_messages", status->waiting);
    json_object_object_add(json, "held", held_json(status));
    json_object_object_add(json, "suspended", json_object_get(status->suspended_json));
    json_add_number(json, "pending_events", status->pending);
    json_add_number(json, "rejected_events", status->rejected);
    json_add_number(json, "corrupt_stores_aside", status->leftovers.count);
    json_add_flag(json, "salvage_unfinished", status->leftovers.unfinished);
    json_add_number(json, "bounces_unattributed", (int64_t)status->nobodys_bounces);
    json_add_number(json, "bounces_unbelieved", (int64_t)status->unbelieved_bounces);
    json_add_number(json, "bounces_ignored", (int64_t)status->no_bounces);
    add_surroundings(json, status);
    status_shared_json(status->config, ctl_store(status->ctl), json);
    json_object_object_add(json, "agent", status->agent != NULL ? json_object_get(status->agent) : NULL);
    json_object_object_add(json, "last_failures", errors);
    ctl_print_json(json);
}
