#include "event/event_pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "base/xalloc.h"

#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define CLOCK_SLACK_MS 1000 /* by which a well-kept clock may go back */

/* Fill known, until_ms, failures and why from the value, NULL for none. */
static void parse_pause(struct event_pause *pause, const char *value, int64_t now_ms)
{
    long long until = 0, since = 0;
    int failures = 0, length = 0;

    pause->known = value != NULL && sscanf(value, "%lld %d %lld %n", &until, &failures, &since, &length) == 3;
    if (pause->known && since > now_ms + CLOCK_SLACK_MS) /* the clock was put back */
        until = now_ms;
    pause->until_ms = pause->known ? until : 0;
    pause->failures = pause->known && failures > 0 ? failures : 0;
    snprintf(pause->why, sizeof pause->why, "%s", pause->known ? value + length : "");
}

static void read_pause(struct event_pause *pause, struct store *store, int64_t now_ms)
{
    AUTO_FREE char *value = store_get(store, pause->name);

    parse_pause(pause, value, now_ms);
}

bool event_pause_holds(const struct event_pause *pause, int64_t now_ms)
{
    return pause->known && pause->until_ms > now_ms;
}

static bool write_pause(struct event_pause *pause, struct store *store, int64_t now_ms,
                        struct outcome *error_r)
{
    AUTO_FREE char *value = xasprintf("%lld %d %lld %s", (long long)pause->until_ms, pause->failures,
                                      (long long)now_ms, pause->why);

    pause->known = true;
    return store_put(store, pause->name, value, error_r);
}

/* The pause has ended: be the one who asks, for at most lease_ms. False when another is, or with the store in
 * trouble. */
static bool claim(struct event_pause *pause, struct store *store, int64_t now_ms, int64_t lease_ms)
{
    struct outcome ignored;

    if (!store_begin(store, STORE_NORMAL, &ignored))
        return false;
    read_pause(pause, store, now_ms);
    bool mine = !event_pause_holds(pause, now_ms);
    if (mine && pause->known) {
        pause->until_ms = now_ms + lease_ms;
        mine = write_pause(pause, store, now_ms, &ignored);
    }
    if (!mine) {
        store_rollback(store);
        return false;
    }
    return store_commit(store, &ignored);
}

/* Between 3/4 and 5/4 of length: many machines must not come back at the same instant. */
static int64_t with_jitter(int64_t length)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        return length;
    return length * 3 / 4 + (int64_t)(random % (uint64_t)(length / 2 + 1));
}

/* Begin or lengthen, inside a transaction. claimed: this process asked when nobody else might. wish_ms:
 * Retry-After, 0 for none. *begun_r: whether this made a difference, and so is worth a line in the log. */
static bool extend(struct event_pause *pause, struct store *store, int64_t now_ms, bool claimed,
                   int64_t wish_ms, const char *why, bool *begun_r, struct outcome *error_r)
{
    read_pause(pause, store, now_ms);
    *begun_r = claimed || !event_pause_holds(pause, now_ms);
    if (*begun_r) {
        int64_t length = pause->first_ms;
        for (int i = 0; i < pause->failures && length < pause->most_ms; i++)
            length *= 2;
        pause->until_ms = now_ms + with_jitter(length < pause->most_ms ? length : pause->most_ms);
        pause->failures++;
    }
    if (wish_ms > 0 && (*begun_r || pause->until_ms < now_ms + wish_ms))
        pause->until_ms = now_ms + wish_ms;
    snprintf(pause->why, sizeof pause->why, "%.*s", (int)sizeof pause->why - 1, why);
    return write_pause(pause, store, now_ms, error_r);
}

static bool end(struct event_pause *pause, struct store *store, struct outcome *error_r)
{
    pause->known = false;
    pause->failures = 0;
    return store_put(store, pause->name, NULL, error_r);
}

/* --- both ------------------------------------------------------------------------------------------ */

/* The key's pause goes by a fingerprint of the key: a corrected key is tried at once. */
void event_pauses_read(struct event_pauses *pauses, struct store *store, const char *fingerprint,
                       const char *key, int64_t now_ms, struct event_pace *pace_r)
{
    AUTO_FREE char *pace = event_pace_name(fingerprint);
    char of_key[UUID_SIZE], *values[STORE_GET_MAX];

    event_pauses_free(pauses);
    uuid_derived(of_key, (const char *[]){"api-key", key}, 2);
    pauses->endpoint = (struct event_pause){.first_ms = SECOND_MS, .most_ms = MINUTE_MS};
    pauses->key = (struct event_pause){.first_ms = 10 * SECOND_MS, .most_ms = 5 * MINUTE_MS};
    pauses->endpoint.name = xasprintf("report.pause.%s", fingerprint);
    pauses->key.name = xasprintf("report.pause.%s.%.8s", fingerprint, of_key);
    store_get_each(store, (const char *[]){pauses->endpoint.name, pauses->key.name, pace}, values);
    parse_pause(&pauses->endpoint, values[0], now_ms);
    parse_pause(&pauses->key, values[1], now_ms);
    *pace_r = event_pace_parse(values[2]);
    for (int i = 0; i < STORE_GET_MAX; i++)
        free(values[i]);
}

bool event_pauses_allow(struct event_pauses *pauses, struct store *store, int64_t now_ms, int64_t lease_ms,
                        char *why, size_t size)
{
    struct event_pause *each[] = {&pauses->endpoint, &pauses->key};

    pauses->claimed = false;
    for (size_t i = 0; i < 2; i++) {
        if (!each[i]->known)
            continue;
        if (event_pause_holds(each[i], now_ms) || !claim(each[i], store, now_ms, lease_ms)) {
            snprintf(why, size, "%s; not asked again for %lld s", each[i]->why,
                     (long long)((each[i]->until_ms - now_ms + 999) / 1000));
            return false;
        }
        pauses->claimed = true;
    }
    return true;
}

bool event_pauses_update(struct event_pauses *pauses, struct store *store, enum event_answer kind,
                         const struct http_answer *answer, const char *endpoint, struct outcome *error_r)
{
    int64_t now_ms = clock_realtime_ms();
    bool judged =
             kind == EVENT_ANSWER_ACCEPTED || kind == EVENT_ANSWER_REFUSED || kind == EVENT_ANSWER_UNWANTED,
         begun = false;

    if (kind == EVENT_ANSWER_NOT_ASKED)
        return true;
    if ((judged || kind == EVENT_ANSWER_KEY_REFUSED) && pauses->endpoint.known &&
        !end(&pauses->endpoint, store, error_r))
        return false;
    if (judged)
        return !pauses->key.known || end(&pauses->key, store, error_r);

    struct event_pause *pause = kind == EVENT_ANSWER_KEY_REFUSED ? &pauses->key : &pauses->endpoint;
    if (kind == EVENT_ANSWER_MISCONFIGURED) {
        pause->first_ms = 10 * SECOND_MS;
        pause->most_ms = 5 * MINUTE_MS;
    }
    if (!extend(pause, store, now_ms, pauses->claimed, answer->retry_after_ms, answer->text, &begun, error_r))
        return false;
    if (begun)
        log_line(kind == EVENT_ANSWER_KEY_REFUSED || kind == EVENT_ANSWER_MISCONFIGURED ? LOG_ERR
                                                                                        : LOG_WARNING,
                 "event API %s: %s%s; events are kept, next try in %lld s", endpoint, answer->text,
                 kind == EVENT_ANSWER_KEY_REFUSED     ? ": the key is refused, correct api-key-file"
                 : kind == EVENT_ANSWER_MISCONFIGURED ? ": this is no event API, correct endpoint"
                                                      : "",
                 (long long)((pause->until_ms - now_ms + 999) / 1000));
    pauses->claimed = false;
    return true;
}

void event_pauses_free(struct event_pauses *pauses)
{
    free(pauses->endpoint.name);
    free(pauses->key.name);
    *pauses = (struct event_pauses){0};
}
