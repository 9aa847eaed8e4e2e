/* sendpostctl rates: what each TPSP may still get, when it gets more, and whether it is left alone; and
 * starting anew. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/ctl.h"
#include "ctl/gate.h"
#include "ctl/limits.h"
#include "ctl/slow_words.h"
#include "ctl/suspend_words.h"
#include "policy/breaker_share.h"
#include "policy/shadow.h"
#include "policy/told.h"
#include "policy/warm_up.h"

#define COLUMNS 7

/* --- the rows -------------------------------------------------------------------------------- */

static bool open_gate(struct ctl *ctl, struct ctl_gate *gate_r)
{
    struct outcome error;

    if (ctl_config(ctl) == NULL)
        return false;
    bool ok = ctl_gate_open(gate_r, ctl->config, &error);
    if (!ok)
        ctl_fail(ctl, "%s", error.text);
    return ok;
}

struct listing {
    const struct admission_gate *gate;
    struct store *store;
    struct connections_desk *leases;
    struct rate_table *table; /* of the gate */
    const struct config_tpsp *tpsp;
    struct breaker breaker;
    struct limits_connections connections;
    bool all;
    bool named; /* the TPSP stands in a row already */
    struct ctl_table *rows;
    struct json_object *limits, *shadows;
};

#define STATE_SIZE (80 + LIMITS_CONNECTIONS_SIZE)

static const char *state_text(const struct listing *listing, char text[STATE_SIZE])
{
    const struct breaker *breaker = &listing->breaker;
    char connections[LIMITS_CONNECTIONS_SIZE];

    limits_connections_text(&listing->connections, listing->tpsp, connections);
    if (breaker->state == BREAKER_CLOSED)
        snprintf(text, STATE_SIZE, "in use%s", connections);
    else if (breaker->state == BREAKER_TRY)
        snprintf(text, STATE_SIZE, "to be tried (%u failures%s)%s", breaker->failures, breaker_whose(breaker),
                 connections);
    else
        snprintf(text, STATE_SIZE, "left alone for %" PRId64 " s (%u failures%s)%s",
                 (breaker->until_ns + 999999999) / 1000000000, breaker->failures, breaker_whose(breaker),
                 connections);
    return text;
}

/* now NULL: the TPSP has no limit at all. */
static void add_row(struct listing *listing, const struct limit_now *now)
{
    const struct rate_limit *limit = now != NULL ? now->limit : NULL;
    char state[STATE_SIZE], rate[RATE_TEXT_SIZE], used[32] = "", count[32] = "", wait[64] = "now";

    if (now != NULL && now->used >= 0)
        snprintf(used, sizeof used, "%" PRId64, now->used);
    if (now != NULL)
        snprintf(count, sizeof count, "%u of %u", now->available, limit->lanes);
    if (now != NULL && now->next_s < 0)
        snprintf(wait, sizeof wait, "not known");
    else if (now != NULL && now->available == 0)
        snprintf(wait, sizeof wait, "in %" PRId64 " s, %s", now->next_s, limit_words_full(limit));
    const char *const cells[COLUMNS] = {listing->named ? "" : listing->tpsp->name,
                                        listing->named ? "" : state_text(listing, state),
                                        limit == NULL ? "unlimited" : rate_text(&limit->rate, rate),
                                        limit != NULL && limit->provider != NULL ? limit->provider : "all",
                                        used,
                                        count,
                                        wait};
    ctl_table_row(listing->rows, cells);
    listing->named = true;
}

static void list_limit(void *context, const struct limit_now *now)
{
    struct listing *listing = context;

    if (listing->limits != NULL)
        json_object_array_add(listing->limits, limits_json(now));
    else
        add_row(listing, now);
}

/* The limits in shadow: those for all come with each provider. */
static void each_shadow(const struct config *config, const struct config_tpsp *tpsp,
                        void (*visit)(void *context, const struct rate_limit *limit), void *context)
{
    struct outcome ignored;
    struct rate_set set;

    for (int provider = 0; provider < PROVIDER_COUNT; provider++)
        if (rate_set_init(&set, tpsp, (enum provider_category)provider, config->rate_burst, &ignored))
            for (size_t i = 0; i < set.shadow_count; i++)
                if (provider == 0 || set.shadows[i].provider != NULL)
                    visit(context, &set.shadows[i]);
}

static void add_shadow_json(void *context, const struct rate_limit *limit)
{
    const struct listing *listing = context;
    struct json_object *row = json_object_new_object();

    json_object_object_add(row, "limit", json_object_new_int64(limit->rate.limit));
    json_add_decimal(row, "window_seconds", (double)limit->rate.window_ms / 1000);
    json_object_object_add(row, "provider", limit->provider ? json_object_new_string(limit->provider) : NULL);
    json_object_object_add(
        row, "would_have_deferred",
        json_object_new_int64((int64_t)shadow_deferred(listing->table, listing->tpsp->name, limit)));
    json_object_array_add(listing->shadows, row);
}

static void print_shadow(void *context, const struct rate_limit *limit)
{
    const struct listing *listing = context;
    char rate[RATE_TEXT_SIZE];

    printf("%s: %s (%s) is in shadow, and would have deferred %" PRIu64 " messages\n", listing->tpsp->name,
           rate_text(&limit->rate, rate), limit->provider != NULL ? limit->provider : "all",
           shadow_deferred(listing->table, listing->tpsp->name, limit));
}

static void print_plan(const struct listing *listing, const char *provider)
{
    struct warm_up_view view;

    if (warm_up_look(listing->table, listing->tpsp, provider, clock_realtime_ms(), &view))
        printf("%s: warm-up%s%s, day %zu of %zu: %u a day%s\n", listing->tpsp->name,
               provider != NULL ? " to " : "", provider != NULL ? provider : "", view.day, view.days,
               view.limit,
               view.held       ? ", held back: too much is deferred or bounces"
               : view.accepted ? ""
                               : ", nothing sent today");
}

static void add_plan_json(const struct listing *listing, const char *provider, struct json_object *list)
{
    struct warm_up_view view;

    if (!warm_up_look(listing->table, listing->tpsp, provider, clock_realtime_ms(), &view))
        return;
    struct json_object *row = json_object_new_object();
    json_object_object_add(row, "provider", provider != NULL ? json_object_new_string(provider) : NULL);
    json_object_object_add(row, "day", json_object_new_int64((int64_t)view.day));
    json_object_object_add(row, "days", json_object_new_int64((int64_t)view.days));
    json_object_object_add(row, "limit", json_object_new_int64(view.limit));
    json_object_object_add(row, "held_back", json_object_new_boolean(view.held));
    json_object_array_add(list, row);
}

static struct json_object *warm_up_json(const struct listing *listing)
{
    struct json_object *list = json_object_new_array();

    add_plan_json(listing, NULL, list);
    for (int provider = 0; provider < PROVIDER_COUNT; provider++)
        add_plan_json(listing, provider_category_name((enum provider_category)provider), list);
    return list;
}

static void print_warm_up(const struct listing *listing)
{
    print_plan(listing, NULL);
    for (int provider = 0; provider < PROVIDER_COUNT; provider++)
        print_plan(listing, provider_category_name((enum provider_category)provider));
}

static bool list_tpsp(struct listing *listing, const struct config *config, struct json_object *all,
                      struct outcome *error_r)
{
    listing->breaker = limits_breaker(listing->table, listing->tpsp);
    limits_connections(listing->gate, listing->leases, listing->tpsp, &listing->connections);
    listing->named = false;
    listing->limits = all != NULL ? json_object_new_array() : NULL;
    if (all != NULL) {
        struct json_object *row = json_object_new_object();
        json_object_object_add(row, "tpsp", json_object_new_string(listing->tpsp->name));
        json_object_object_add(row, "tpsp_id", json_object_new_int64(listing->tpsp->id));
        json_object_object_add(row, "breaker", limits_breaker_json(&listing->breaker));
        if (listing->tpsp->max_connections > 0)
            json_object_object_add(row, "connections",
                                   limits_connections_json(&listing->connections, listing->tpsp));
        json_object_object_add(row, "limits", listing->limits);
        listing->shadows = json_object_new_array();
        json_object_object_add(row, "shadow", listing->shadows);
        each_shadow(config, listing->tpsp, add_shadow_json, listing);
        json_object_object_add(row, "warm_up", warm_up_json(listing));
        json_object_object_add(row, "slow_down", slow_words_json(config, listing->table, listing->tpsp));
        json_object_object_add(row, "suspended",
                               suspend_words_json(config, listing->table, listing->tpsp->name));
        json_object_array_add(all, row);
    }
    const struct limits_request request = {listing->gate, listing->store, listing->tpsp,
                                           all != NULL || listing->all};
    if (!limits_each(&request, list_limit, listing, error_r))
        return false;
    if (all == NULL && !listing->named)
        add_row(listing, NULL);
    return true;
}

static void print_slowed(void *context, const char *line)
{
    AUTO_FREE char *clean = ctl_text(line);

    (void)context;
    printf("%s%s%s\n", ctl_colour(CTL_YELLOW), clean, ctl_colour(CTL_PLAIN));
}

static void print_suspension(void *context, const struct suspension_scope *scope, const char *line)
{
    (void)context;
    (void)scope;
    printf("%s\n", line);
}

static enum ctl_status list(struct ctl *ctl, const struct admission_gate *gate)
{
    static const char *const headers[COLUMNS] = {"TPSP",  "STATE",    ">LIMIT",   "FOR",
                                                 ">USED", ">AT ONCE", "NEXT SLOT"};
    const struct config *config = ctl->config;
    struct listing listing = {
        .gate = gate, .store = ctl_store(ctl), .table = gate->table, .all = ctl->verbose};
    enum ctl_status status = CTL_OK;
    struct outcome error;
    bool known = true;

    if (listing.store == NULL)
        return CTL_TROUBLE;
    struct json_object *all = ctl->json ? json_object_new_array() : NULL;
    listing.leases = connections_open(config);

    if (!ctl->json)
        listing.rows = ctl_table_new(COLUMNS, headers);
    for (size_t i = 0; i < config->tpsp_count; i++) {
        listing.tpsp = &config->tpsps[i];
        if (!list_tpsp(&listing, config, all, &error)) {
            status = ctl_fail(ctl, "%s", error.text);
            known = false;
        }
        if (listing.breaker.state != BREAKER_CLOSED)
            status = CTL_TROUBLE;
    }
    connections_close(listing.leases);
    if (ctl->json) {
        known ? ctl_print_json(all) : (void)json_object_put(all);
        return status;
    }
    ctl_table_print(listing.rows);
    suspend_words_each(config, listing.table, print_suspension, NULL);
    for (size_t i = 0; i < config->tpsp_count; i++) {
        listing.tpsp = &config->tpsps[i];
        slow_words_each(config, listing.table, listing.tpsp, print_slowed, NULL);
        each_shadow(config, listing.tpsp, print_shadow, &listing);
        print_warm_up(&listing);
    }
    return status;
}

/* --- reset ------------------------------------------------------------------------------------- */

/* All limits of the TPSP: those for all come again with each provider, which does no harm. */
static bool reset_all(const struct admission_gate *gate, const struct config_tpsp *tpsp,
                      struct outcome *error_r)
{
    for (int provider = 0; provider < PROVIDER_COUNT; provider++) {
        struct rate_set set;
        if (!rate_set_init(&set, tpsp, (enum provider_category)provider, gate->config->rate_burst, error_r) ||
            !admission_reset(gate, &set, error_r))
            return false;
    }
    return true;
}

/* A warm-up goes on where it is: who could start it anew would send a day's number twice on one day, which is
 * what it is there to keep from. */
static void say_reset(const struct ctl *ctl, const struct admission_gate *gate,
                      const struct config_tpsp *tpsp)
{
    const struct listing listing = {.table = gate->table, .tpsp = tpsp};
    struct json_object *plans = warm_up_json(&listing);
    bool warms_up = json_object_array_length(plans) > 0;

    if (ctl->json) {
        struct json_object *object = json_object_new_object();
        json_add_text(object, "tpsp", tpsp->name);
        json_add_flag(object, "reset", true);
        json_object_object_add(object, "warm_up", plans);
        ctl_print_json(object);
        return;
    }
    json_object_put(plans);
    printf("%s starts anew: its %slimits are unused and whole, and it is not left alone.\n", tpsp->name,
           warms_up ? "other " : "");
    if (warms_up)
        printf("Its warm-up goes on, and what was sent counts there:\n");
    print_warm_up(&listing);
}

static enum ctl_status reset(struct ctl *ctl, const struct admission_gate *gate)
{
    const char *name = ctl->operands[1];
    const struct config_tpsp *tpsp = config_tpsp_by_name(ctl->config, name);
    struct outcome error;

    if (tpsp == NULL)
        return ctl_fail(ctl, "no TPSP is named \"%s\" in %s", name, ctl->config->path);
    if (!reset_all(gate, tpsp, &error))
        return ctl_fail(ctl, "%s", error.text);
    breaker_reset(gate->table, tpsp->name);
    breaker_share_reset(gate->table, tpsp->name);
    slow_down_reset(gate->table, tpsp->name);
    if (!told_overrule(gate, tpsp))
        return ctl_fail(ctl, "cluster %s is away: the other hosts go on as they are, and this one with them",
                        gate->config->cluster.name);
    say_reset(ctl, gate, tpsp);
    return CTL_OK;
}

static enum ctl_status run(struct ctl *ctl)
{
    bool resets = ctl->operand_count > 0;

    if (resets && (strcmp(ctl->operands[0], "reset") != 0 || ctl->operand_count != 2))
        return ctl_usage(ctl, "takes no operand, or reset and one TPSP");
    struct ctl_gate gate;
    if (!open_gate(ctl, &gate))
        return CTL_TROUBLE;
    enum ctl_status status = resets ? reset(ctl, &gate.gate) : list(ctl, &gate.gate);
    ctl_gate_close(&gate);
    return status;
}

const struct ctl_command ctl_rates = {
    .name = "rates",
    .synopsis = "[reset TPSP]",
    .summary = "Show what each TPSP may still get, or let one start anew",
    .examples =
        "  sendpostctl rates                    # -v: also providers without a limit of their own\n"
        "  sendpostctl rates --json | jq '.[].limits[] | select(.free == 0)'\n"
        "  sendpostctl rates reset primary      # after the TPSP has raised its limit, or works again\n",
    .run = run,
};
