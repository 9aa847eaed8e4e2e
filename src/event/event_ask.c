#include "event/event_ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define BODY_BEGIN "{\"events\":["
#define BODY_END "]}"
#define USUAL_SIZE 768 /* of one event */

/* How long "this endpoint refuses the word dropped" is believed before the word is tried again. */
#define DROPPED_MEMORY_MS (7 * 86400000LL)

const char *event_ask_key(const struct event_asker *asker, const char *tpsp)
{
    const struct config *config = asker->config;

    for (size_t i = 0; i < config->tpsp_count; i++)
        if (strcmp(config->tpsps[i].name, tpsp) == 0 && config->tpsps[i].api_key != NULL)
            return config->tpsps[i].api_key;
    return config->api_key;
}

/* --- asking ------------------------------------------------------------------------------------- */

static enum answer_kind kind_of(int status)
{
    if (status >= 200 && status <= 299)
        return ANSWER_ACCEPTED;
    switch (status) {
    case 400:
    case 413:
    case 422:
        return ANSWER_REFUSED;
    case 401:
    case 403:
        return ANSWER_KEY_REFUSED;
    case 0:
    case 408:
    case 429:
    case 503:
        return ANSWER_BUSY;
    default:
        return status >= 500 ? ANSWER_FAILING : ANSWER_MISCONFIGURED;
    }
}

enum answer_kind event_ask(struct event_asker *asker, const struct event *events, int count, const char *key,
                           int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    int64_t timeout_ms = asker->config->report.timeout_ms;

    if (left_ms <= 0) {
        snprintf(asker->last_error, sizeof asker->last_error, "no time was left to ask the event API");
        return ANSWER_NOT_ASKED;
    }
    if (asker->client == NULL) {
        asker->client = event_client_open(asker->config);
        event_client_trace(asker->client, asker->trace);
        event_client_compress(asker->client, asker->compress);
    }
    struct event_text body = {.room = USUAL_SIZE * (size_t)count};
    body.bytes = xmalloc(body.room);
    event_text_add(&body, BODY_BEGIN, sizeof BODY_BEGIN - 1);
    for (int i = 0; i < count; i++) {
        event_text_add(&body, ",", i > 0);
        event_add_json(&body, &events[i], NULL);
    }
    event_text_add(&body, BODY_END, sizeof BODY_END - 1);
    int64_t begun_ms = clock_monotonic_ms();
    event_client_post(asker->client, key, body.bytes, body.length,
                      left_ms < timeout_ms ? left_ms : timeout_ms, &asker->answer);
    free(body.bytes);
    if (asker->observe != NULL)
        asker->observe(asker->observe_context, asker->answer.status, clock_monotonic_ms() - begun_ms);

    enum answer_kind kind = kind_of(asker->answer.status);
    if (kind == ANSWER_ACCEPTED)
        *asker->last_error = '\0';
    else
        snprintf(asker->last_error, sizeof asker->last_error, "%s%s", asker->answer.text,
                 kind == ANSWER_KEY_REFUSED ? ": the key is refused" : "");
    return kind;
}

/* --- dropped, or bounced where the endpoint refuses that word -------------------------------------- */

static char *dropped_memory_name(const struct event_asker *asker)
{
    return xasprintf("report.dropped-refused.%s", asker->fingerprint);
}

void event_ask_choose_word(const struct event_asker *asker, struct event *event)
{
    enum config_dropped_as as = asker->config->report.dropped_as;

    if (event->cs != CS_DROPPED)
        return;
    event->dropped_as_bounced = as == DROPPED_AS_BOUNCED;
    if (as == DROPPED_AS_AUTO) {
        AUTO_FREE char *name = dropped_memory_name(asker);
        AUTO_FREE char *learnt = store_get(asker->store, name);
        int64_t age_ms = learnt ? clock_realtime_ms() - strtoll(learnt, NULL, 10) : -1;
        event->dropped_as_bounced = age_ms >= 0 && age_ms < DROPPED_MEMORY_MS;
    }
}

bool event_ask_remember_word(struct event_asker *asker, const struct event *event, struct outcome *error_r)
{
    AUTO_FREE char *name = dropped_memory_name(asker);
    AUTO_FREE char *now = xasprintf("%lld", (long long)clock_realtime_ms());

    log_line(LOG_INFO, "event API %s takes '%s' for a dropped message, and refused '%s'",
             asker->config->endpoint, event_type(event), event->dropped_as_bounced ? "dropped" : "bounced");
    return store_put(asker->store, name, event->dropped_as_bounced ? now : NULL, error_r);
}

enum answer_kind event_ask_alone(struct event_asker *asker, struct event *event, const char *key,
                                 int64_t deadline_ms, bool *learnt_r)
{
    *learnt_r = false;
    event_ask_choose_word(asker, event);
    enum answer_kind kind = event_ask(asker, event, 1, key, deadline_ms);
    if (kind != ANSWER_REFUSED || event->cs != CS_DROPPED ||
        asker->config->report.dropped_as != DROPPED_AS_AUTO)
        return kind;
    event->dropped_as_bounced = !event->dropped_as_bounced;
    kind = event_ask(asker, event, 1, key, deadline_ms);
    *learnt_r = kind == ANSWER_ACCEPTED;
    if (kind != ANSWER_ACCEPTED)
        event->dropped_as_bounced = false;
    return kind;
}
