#include "slow_down_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/slow_down.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define ANSWER_TAKES SECOND
#define PENDING_MAX 65536
#define TAKEN_MAX 65536

struct run {
    const struct model *model;
    struct model_result *result;
    int64_t begin, now;

    /* the server: when it took what it has taken */
    int64_t taken[TAKEN_MAX];
    size_t taken_first, taken_count;

    /* answers on their way */
    struct {
        int64_t due;
        bool accepted;
    } pending[PENDING_MAX];
    size_t pending_first, pending_count;

    struct config config;
    struct config_tpsp tpsp;
    struct rate_clock clock;
    struct rate_table *table;
    struct rate_set set;
    struct slow_down slow_down;

    int64_t kumo_hits[2], kumo_until, kumo_next;
};

static void die(const char *what)
{
    fprintf(stderr, "slow_down_model: %s\n", what);
    exit(1);
}

/* --- the server ------------------------------------------------------------------------------------------
 */

static bool server_takes(struct run *run)
{
    const struct model *model = run->model;
    bool doubled = model->doubles_at_ns > 0 && run->now - run->begin >= model->doubles_at_ns;
    size_t limit = (size_t)(model->hidden * (doubled ? 2 : 1) * (double)model->window_ns / (double)HOUR);

    while (run->taken_count > 0 && run->taken[run->taken_first] <= run->now - model->window_ns) {
        run->taken_first = (run->taken_first + 1) % TAKEN_MAX;
        run->taken_count--;
    }
    if (run->taken_count >= limit)
        return false;
    if (run->taken_count == TAKEN_MAX)
        die("the limit is too large");
    run->taken[(run->taken_first + run->taken_count++) % TAKEN_MAX] = run->now;
    return true;
}

/* --- the sender ------------------------------------------------------------------------------------------
 */

static int64_t now_ns(void *context)
{
    return ((struct run *)context)->now;
}

static bool may_send(struct run *run, int64_t *next_r)
{
    const struct rate_limit *limit;
    struct rate_grant grant;
    struct outcome error;

    switch (run->model->control) {
    case MODEL_OURS:
        return slow_down_apply(&run->config, run->table, &run->set, next_r, &error) &&
               rate_limit_take(run->table, &run->set, &grant, &limit, next_r, &error) == RATE_GRANTED;
    case MODEL_KUMOMTA:
        if (run->now >= run->kumo_until)
            return true;
        *next_r = run->kumo_next;
        if (run->now < run->kumo_next)
            return false;
        run->kumo_next = run->now + MINUTE / 10;
        return true;
    default:
        return true;
    }
}

static void hear_answer(struct run *run, bool accepted)
{
    static const struct reply_action action = {.kind = REPLY_SLOWER,
                                               .after = 3,
                                               .within_ms = 600000,
                                               .reason = "rate",
                                               .rule = "slow down",
                                               .source = ""};

    if (run->model->control == MODEL_OURS) {
        slow_down_note(&run->slow_down, accepted ? SLOW_DOWN_ACCEPTED : SLOW_DOWN_DEFERRED, true,
                       "user@example.com");
        if (!accepted)
            slow_down_hear(&run->slow_down, &(struct slow_down_heard){.action = &action,
                                                                      .recipient = "user@example.com",
                                                                      .text = "450 slow down",
                                                                      .trusted = true});
    } else if (!accepted) {
        run->kumo_hits[0] = run->kumo_hits[1];
        run->kumo_hits[1] = run->now;
        if (run->kumo_hits[0] > 0 && run->now - run->kumo_hits[0] < HOUR)
            run->kumo_until = run->now + 30 * MINUTE;
    }
}

static void hear_answers(struct run *run)
{
    while (run->pending_count > 0 && run->pending[run->pending_first].due <= run->now) {
        bool accepted = run->pending[run->pending_first].accepted;
        run->pending_first = (run->pending_first + 1) % PENDING_MAX;
        run->pending_count--;
        hear_answer(run, accepted);
    }
}

static void send_one(struct run *run)
{
    size_t minute = (size_t)((run->now - run->begin) / MINUTE);
    bool accepted = server_takes(run);

    (accepted ? run->result->accepted : run->result->refused)[minute]++;
    if (run->pending_count == PENDING_MAX)
        die("too many answers on their way");
    size_t place = (run->pending_first + run->pending_count++) % PENDING_MAX;
    run->pending[place].due = run->now + ANSWER_TAKES;
    run->pending[place].accepted = accepted;
}

static void begin(struct run *run, const char *directory)
{
    struct outcome error;

    run->begin = run->now = HOUR;
    run->config = (struct config){.rate_burst = 10,
                                  .slow_down = {.enabled = true,
                                                .floor = {1, 60000},
                                                .recovery_ms = 600000,
                                                .statistics = {300000, 100000, 50, 600000}}};
    run->tpsp = (struct config_tpsp){.name = (char *)"primary"};
    run->clock = (struct rate_clock){.now_ns = now_ns, .context = run, .boot_id = "model"};
    if (!rate_table_open(&run->table, directory, &run->clock, &error) ||
        !rate_set_init(&run->set, &run->tpsp, PROVIDER_DEFAULT, 10, &error))
        die(error.text);
    run->slow_down = (struct slow_down){
        .config = &run->config, .table = run->table, .tpsp = &run->tpsp, .provider = PROVIDER_DEFAULT};
}

void model_run(const struct model *model, struct model_result *result_r)
{
    char directory[] = "/tmp/sendpost-model-XXXXXX", path[64];
    struct run *run = calloc(1, sizeof *run);
    int64_t gap = (int64_t)((double)HOUR / model->demand), ready = 0, next = 0;

    if (run == NULL || mkdtemp(directory) == NULL)
        die("no room in /tmp");
    memset(result_r, 0, sizeof *result_r);
    run->model = model;
    run->result = result_r;
    begin(run, directory);
    while (run->now - run->begin < model->duration_ns) {
        hear_answers(run);
        if (run->now < ready)
            run->now = ready;
        else if (may_send(run, &next)) {
            send_one(run);
            ready = run->now + gap;
        } else {
            run->now = next > run->now ? next : run->now + 1;
            ready = 0;
        }
        if (run->pending_count > 0 && run->pending[run->pending_first].due < run->now &&
            run->pending[run->pending_first].due > run->now - gap)
            hear_answers(run);
    }
    rate_table_close(run->table);
    snprintf(path, sizeof path, "%s/rates", directory);
    unlink(path);
    snprintf(path, sizeof path, "%s/rates.lock", directory);
    unlink(path);
    rmdir(directory);
    free(run);
}

/* --- figures -----------------------------------------------------------------------------------------------
 */

static uint64_t sum(const uint32_t *counts, int from, int to)
{
    uint64_t all = 0;

    for (int minute = from; minute < to; minute++)
        all += counts[minute];
    return all;
}

double model_rate(const struct model_result *result, int from, int to)
{
    return (double)sum(result->accepted, from, to) * 60 / (to - from);
}

double model_refusals(const struct model_result *result, int from, int to)
{
    uint64_t refused = sum(result->refused, from, to), all = refused + sum(result->accepted, from, to);

    return all == 0 ? 0 : (double)refused / (double)all;
}
