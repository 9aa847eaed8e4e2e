/*
 * slow_down_model: a sender with more to send than may be sent, and a server with a limit that it does not
 * tell: so many in any minute, or in any hour, and what is beyond is refused. What the sender does about it
 * is the real slow_down on a simulated clock, or nothing, or what KumoMTA ships
 * (assets/community/shaping.toml there: two such refusals in an hour set the rate to 10 a minute for half an
 * hour; without, 100 a second).
 */
#ifndef SENDPOST_SLOW_DOWN_MODEL_H
#define SENDPOST_SLOW_DOWN_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum model_control { MODEL_NONE, MODEL_OURS, MODEL_KUMOMTA };

struct model {
    enum model_control control;
    double hidden;         /* messages an hour that the server takes */
    int64_t window_ns;     /* over which it counts */
    int64_t doubles_at_ns; /* from then on it takes twice as many; 0: never */
    double demand;         /* messages an hour that there would be to send */
    int64_t duration_ns;
};

#define MODEL_MINUTES (48 * 60)

/* By minute. */
struct model_result {
    uint32_t accepted[MODEL_MINUTES], refused[MODEL_MINUTES];
};

void model_run(const struct model *model, struct model_result *result_r);

/* From and to in minutes: accepted an hour, and the share of refusals in all answers. */
double model_rate(const struct model_result *result, int from, int to);
double model_refusals(const struct model_result *result, int from, int to);

#endif
