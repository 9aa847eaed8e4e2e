#include "event/event_ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

#define BODY_BEGIN "{\"events\":["
#define BODY_END "]}"
#define USUAL_SIZE 768 /* of one event */
#define KEY_HEADER "X-SP-Event-ApiKey"
#define COMPRESS_FROM 65536 /* bytes; below, it costs more time than it saves */
#define ANSWER_MAX 65536    /* a longer body is not worth the connection it comes on */

/* How long "this endpoint refuses this word" is believed before the word is tried again. */
#define REFUSAL_MEMORY_MS (7 * 86400000LL)

const char *event_ask_key(const struct event_asker *asker, const char *tpsp)
{
    const struct config *config = asker->config;

    for (size_t i = 0; i < config->tpsp_count; i++)
        if (strcmp(config->tpsps[i].name, tpsp) == 0 && config->tpsps[i].api_key != NULL)
            return config->tpsps[i].api_key;
    return config->api_key;
}

/* --- asking ------------------------------------------------------------------------------------- */

struct http_client *event_ask_client(struct event_asker *asker)
{
    if (asker->client == NULL)
        asker->client = http_client_open(asker->config, &asker->config->report.tls, asker->options.trace);
    return asker->client;
}

static void post(struct event_asker *asker, const char *key, const char *coding, const char *body,
                 size_t length, int64_t timeout_ms)
{
    AUTO_FREE char *key_line = key != NULL ? xasprintf(KEY_HEADER ": %s", key) : NULL;
    const char *headers[] = {"Accept: application/json", "Content-Type: application/json", NULL, NULL, NULL};
    size_t count = 2;

    if (key_line != NULL)
        headers[count++] = key_line;
    if (coding != NULL)
        headers[count++] = coding;
    asker->answer = http_client_send(event_ask_client(asker), &(struct http_request){
                                                                  .method = "POST",
                                                                  .url = asker->config->endpoint,
                                                                  .headers = headers,
                                                                  .body = body,
                                                                  .length = length,
                                                                  .secrets = (const char *[]){key, NULL},
                                                                  .answer_max = ANSWER_MAX,
                                                                  .timeout_ms = timeout_ms,
                                                              });
    if (asker->answer->status != 0)
        asker->takes_gzip = asker->answer->takes_gzip;
    if (key_line != NULL)
        explicit_bzero(key_line, strlen(key_line));
}

/*
 * Large requests are compressed once the endpoint has said in an answer that it takes gzip (RFC 9110 section
 * 12.5.3). Without its word nothing is: a server that passes on what it does not understand would lose the
 * events. False: the body has to be posted as it is.
 */
static bool post_compressed(struct event_asker *asker, const char *key, const struct event_text *body,
                            int64_t timeout_ms)
{
    size_t packed_length;

    if (asker->options.compress == NULL || !asker->takes_gzip || body->length < COMPRESS_FROM)
        return false;
    AUTO_FREE char *packed = asker->options.compress(body->bytes, body->length, &packed_length);
    if (packed == NULL)
        return false;
    post(asker, key, "Content-Encoding: gzip", packed, packed_length, timeout_ms);
    return asker->answer->status != 415; /* else it has changed its mind */
}

static struct event_text batch_of(const struct event *events, int count)
{
    struct event_text body = {.room = USUAL_SIZE * (size_t)(count > 0 ? count : 1)};

    body.bytes = xmalloc(body.room);
    event_text_add(&body, BODY_BEGIN, sizeof BODY_BEGIN - 1);
    for (int i = 0; i < count; i++) {
        event_text_add(&body, ",", i > 0);
        event_add_json(&body, &events[i], NULL);
    }
    event_text_add(&body, BODY_END, sizeof BODY_END - 1);
    return body;
}

enum event_answer event_ask(struct event_asker *asker, const struct event *events, int count, const char *key,
                            int64_t deadline_ms)
{
    int64_t begun_ms = clock_monotonic_ms(), until_ms = begun_ms + asker->config->report.timeout_ms;

    if (key == NULL && asker->config->credentials_elsewhere) {
        snprintf(asker->last_error, sizeof asker->last_error,
                 "the event API key is a credential of sendpost-agent, events are left to it");
        return EVENT_ANSWER_NOT_ASKED;
    }
    if (deadline_ms <= begun_ms) {
        snprintf(asker->last_error, sizeof asker->last_error, "no time was left to ask the event API");
        return EVENT_ANSWER_NOT_ASKED;
    }
    until_ms = deadline_ms < until_ms ? deadline_ms : until_ms;
    struct event_text body = batch_of(events, count);
    if (!post_compressed(asker, key, &body, until_ms - begun_ms))
        post(asker, key, NULL, body.bytes, body.length, until_ms - clock_monotonic_ms());
    free(body.bytes);
    asker->elapsed_ms = clock_monotonic_ms() - begun_ms;
    if (asker->options.observe != NULL)
        asker->options.observe(asker->options.observe_context, asker->answer->status, asker->elapsed_ms);
    if (asker->store != NULL && asker->answer->date_s > 0)
        event_clock_note(asker->store, asker->answer->date_s, &asker->clock);

    enum event_answer kind = event_answer_of(asker->answer->status);
    if (kind == EVENT_ANSWER_ACCEPTED)
        *asker->last_error = '\0';
    else
        snprintf(asker->last_error, sizeof asker->last_error, "%s%s", asker->answer->text,
                 kind == EVENT_ANSWER_KEY_REFUSED ? ": the key is refused" : "");
    return kind;
}

/* --- words that the endpoint refuses ---------------------------------------------------------------------
 */

/* SendPost documents delivered, bounced, deferred and soft_bounced. What it made of the others is remembered.
 */
static char *memory_name(const struct event_asker *asker, enum event_cs cs)
{
    return xasprintf("report.%s-refused.%s", event_type(&(struct event){.cs = cs}), asker->fingerprint);
}

static bool refused_lately(const struct event_asker *asker, enum event_cs cs)
{
    AUTO_FREE char *name = memory_name(asker, cs);
    AUTO_FREE char *learnt = store_get(asker->store, name);
    int64_t age_ms = learnt != NULL ? clock_realtime_ms() - strtoll(learnt, NULL, 10) : -1;

    return age_ms >= 0 && age_ms < REFUSAL_MEMORY_MS;
}

/* Whether the choice between the words is the endpoint's. */
static bool has_choice(const struct event_asker *asker, enum event_cs cs)
{
    return cs == CS_SENT || (cs == CS_DROPPED && asker->config->report.dropped_as == DROPPED_AS_AUTO);
}

void event_ask_choose_word(const struct event_asker *asker, struct event *event)
{
    if (has_choice(asker, event->cs))
        event->other_word = refused_lately(asker, event->cs);
    else
        event->other_word = event->cs == CS_DROPPED && asker->config->report.dropped_as == DROPPED_AS_BOUNCED;
}

bool event_ask_wants(const struct event_asker *asker, enum event_cs cs)
{
    enum config_deferred deferred = asker->config->report.deferred;

    return cs != CS_DEFERRED || deferred == DEFERRED_TRUE ||
           (deferred == DEFERRED_AUTO && !refused_lately(asker, cs));
}

bool event_ask_remember_word(struct event_asker *asker, const struct event *event, struct outcome *error_r)
{
    AUTO_FREE char *name = memory_name(asker, event->cs);
    AUTO_FREE char *now = xasprintf("%lld", (long long)clock_realtime_ms());
    struct event usual = {.cs = event->cs}, other = {.cs = event->cs, .other_word = true};

    if (event->cs == CS_DEFERRED)
        log_line(LOG_INFO,
                 "event API %s refuses 'deferred': such events stay here for a week (report.deferred)",
                 asker->config->endpoint);
    else
        log_line(LOG_INFO, "event API %s takes '%s' for %s, and refused '%s'", asker->config->endpoint,
                 event_type(event), event->cs == CS_DROPPED ? "a dropped message" : "a relayed message",
                 event_type(event->other_word ? &usual : &other));
    return store_put(asker->store, name, event->cs == CS_DEFERRED || event->other_word ? now : NULL, error_r);
}

enum event_answer event_ask_alone(struct event_asker *asker, struct event *event, const char *key,
                                  int64_t deadline_ms, bool *learnt_r)
{
    *learnt_r = false;
    if (!event_ask_wants(asker, event->cs))
        return EVENT_ANSWER_UNWANTED;
    event_ask_choose_word(asker, event);
    enum event_answer kind = event_ask(asker, event, 1, key, deadline_ms);
    if (kind != EVENT_ANSWER_REFUSED)
        return kind;
    if (event->cs == CS_DEFERRED && asker->config->report.deferred == DEFERRED_AUTO) {
        *learnt_r = true;
        return EVENT_ANSWER_UNWANTED;
    }
    if (!has_choice(asker, event->cs))
        return kind;
    event->other_word = !event->other_word;
    kind = event_ask(asker, event, 1, key, deadline_ms);
    *learnt_r = kind == EVENT_ANSWER_ACCEPTED;
    if (kind != EVENT_ANSWER_ACCEPTED)
        event->other_word = false;
    return kind;
}
