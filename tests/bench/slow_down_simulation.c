/*
 * slow_down_simulation: what slow_down makes of a limit that it is not told, beside no control and what
 * KumoMTA ships, in the same simulation (tests/unit/slow_down_model.h). For people a table; with --csv by
 * minute, for tools/slow-down-plots: scenario, control, minute, accepted, refused.
 */
#include <stdio.h>
#include <string.h>

#include "slow_down_model.h"

#define MINUTE (60 * INT64_C(1000000000))
#define HOUR (60 * MINUTE)

static const char *const controls[] = {
    [MODEL_NONE] = "none", [MODEL_OURS] = "slow_down", [MODEL_KUMOMTA] = "kumomta"};

static const struct {
    const char *name;
    struct model model;
} scenarios[] = {
    {"6000 an hour, by the minute",
     {.hidden = 6000, .window_ns = MINUTE, .demand = 60000, .duration_ns = 25 * HOUR}},
    {"6000 an hour, doubled after 12 h",
     {.hidden = 6000,
      .window_ns = MINUTE,
      .demand = 60000,
      .duration_ns = 25 * HOUR,
      .doubles_at_ns = 12 * HOUR}},
    {"600 an hour, by the minute",
     {.hidden = 600, .window_ns = MINUTE, .demand = 6000, .duration_ns = 25 * HOUR}},
    {"120 an hour, by the minute",
     {.hidden = 120, .window_ns = MINUTE, .demand = 1200, .duration_ns = 25 * HOUR}},
    {"6000 an hour, by the hour",
     {.hidden = 6000, .window_ns = HOUR, .demand = 60000, .duration_ns = 25 * HOUR}},
};

int main(int argc, char **argv)
{
    bool csv = argc > 1 && strcmp(argv[1], "--csv") == 0;
    static struct model_result result;

    if (!csv)
        printf("%-34s %-10s %22s %22s\n", "hidden limit", "control", "first half hour", "then, over a day");
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        for (int control = 0; control <= MODEL_KUMOMTA; control++) {
            struct model model = scenarios[i].model;
            int minutes = (int)(model.duration_ns / MINUTE);
            model.control = (enum model_control)control;
            model_run(&model, &result);
            for (int minute = 0; csv && minute < minutes; minute++)
                printf("%zu,%s,%d,%u,%u\n", i, controls[control], minute, result.accepted[minute],
                       result.refused[minute]);
            if (!csv)
                printf("%-34s %-10s %8.0f/h %5.1f%% ref. %8.0f/h %5.1f%% ref.\n", scenarios[i].name,
                       controls[control], model_rate(&result, 0, 30), 100 * model_refusals(&result, 0, 30),
                       model_rate(&result, 30, 30 + 24 * 60),
                       100 * model_refusals(&result, 30, 30 + 24 * 60));
        }
    return 0;
}
