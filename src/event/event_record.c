#include "event/event_record.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "base/xalloc.h"
#include "event/event_outbox.h"

#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)

/* --- pauses ------------------------------------------------------------------------------------- */

/* The key's pause goes by a fingerprint of the key: a corrected key is tried at once. */
void event_record_read_pauses(struct event_reporter *reporter, const char *key, int64_t now_ms)
{
    struct event_pause *endpoint = &reporter->endpoint_pause, *of_key = &reporter->key_pause;
    char fingerprint[UUID_SIZE];

    free(endpoint->name);
    free(of_key->name);
    uuid_derived(fingerprint, (const char *[]){"api-key", key}, 2);
    *endpoint = (struct event_pause){.first_ms = SECOND_MS, .most_ms = MINUTE_MS};
    *of_key = (struct event_pause){.first_ms = 10 * SECOND_MS, .most_ms = 5 * MINUTE_MS};
    endpoint->name = xasprintf("report.pause.%s", reporter->asker.fingerprint);
    of_key->name = xasprintf("report.pause.%s.%.8s", reporter->asker.fingerprint, fingerprint);
    event_pause_read(endpoint, reporter->asker.store, now_ms);
    event_pause_read(of_key, reporter->asker.store, now_ms);
}

static void note_pause(struct event_reporter *reporter, const struct event_pause *pause, int64_t now_ms)
{
    snprintf(reporter->asker.last_error, sizeof reporter->asker.last_error, "%s; not asked again for %lld s",
             pause->why, (long long)((pause->until_ms - now_ms + 999) / 1000));
}

bool event_record_may_ask(struct event_reporter *reporter, int64_t now_ms)
{
    struct event_pause *pauses[] = {&reporter->endpoint_pause, &reporter->key_pause};
    int64_t lease_ms = reporter->asker.config->report.timeout_ms + SECOND_MS;

    reporter->claimed = false;
    for (size_t i = 0; i < 2; i++) {
        if (!pauses[i]->known)
            continue;
        if (event_pause_holds(pauses[i], now_ms) ||
            !event_pause_claim(pauses[i], reporter->asker.store, now_ms, lease_ms)) {
            note_pause(reporter, pauses[i], now_ms);
            return false;
        }
        reporter->claimed = true;
    }
    return true;
}

/* After an answer, inside a transaction. */
static bool update_pauses(struct event_reporter *reporter, enum answer_kind kind, struct outcome *error_r)
{
    struct event_pause *endpoint = &reporter->endpoint_pause, *of_key = &reporter->key_pause;
    int64_t now_ms = clock_realtime_ms();
    bool begun = false;

    if (kind == ANSWER_NOT_ASKED)
        return true;
    if (kind == ANSWER_ACCEPTED || kind == ANSWER_REFUSED || kind == ANSWER_KEY_REFUSED)
        if (endpoint->known && !event_pause_end(endpoint, reporter->asker.store, error_r))
            return false;
    if (kind == ANSWER_ACCEPTED || kind == ANSWER_REFUSED)
        return !of_key->known || event_pause_end(of_key, reporter->asker.store, error_r);

    struct event_pause *pause = kind == ANSWER_KEY_REFUSED ? of_key : endpoint;
    if (kind == ANSWER_MISCONFIGURED) {
        pause->first_ms = 10 * SECOND_MS;
        pause->most_ms = 5 * MINUTE_MS;
    }
    if (!event_pause_extend(pause, reporter->asker.store, now_ms, reporter->claimed,
                            reporter->asker.answer.retry_after_ms, reporter->asker.answer.text, &begun,
                            error_r))
        return false;
    if (begun)
        log_line(kind == ANSWER_KEY_REFUSED || kind == ANSWER_MISCONFIGURED ? LOG_ERR : LOG_WARNING,
                 "event API %s: %s%s; events are kept, next try in %lld s", reporter->asker.config->endpoint,
                 reporter->asker.answer.text,
                 kind == ANSWER_KEY_REFUSED     ? ": the key is refused, correct api-key-file"
                 : kind == ANSWER_MISCONFIGURED ? ": this is no event API, correct endpoint"
                                                : "",
                 (long long)((pause->until_ms - now_ms + 999) / 1000));
    reporter->claimed = false;
    return true;
}

/* --- putting it on record ------------------------------------------------------------------------- */

bool event_record_settled(struct event_reporter *reporter, const struct event *event, enum answer_kind kind,
                          bool learnt, struct outcome *error_r)
{
    struct store *store = reporter->asker.store;
    enum event_state state = kind == ANSWER_ACCEPTED ? EVENT_REPORTED : EVENT_REJECTED;

    if (state == EVENT_REJECTED)
        log_line(
            LOG_ERR,
            "event %s (%s of message %s, recipient <%s>) is refused by the event API and not sent again: %s",
            event->event_id, event_type(event), event->message_id, event->recipient,
            reporter->asker.answer.text);
    if (store_begin(store, STORE_NORMAL, error_r) && event_store_settle(store, event, state, error_r) &&
        (!learnt || event_ask_remember_word(&reporter->asker, event, error_r)) &&
        update_pauses(reporter, kind, error_r) && store_commit(store, error_r))
        return true;
    store_rollback(store);
    return false;
}

/* 30 s, doubled at each try up to an hour: for an event that fails where others do not. */
static int64_t retry_after_tries(int tries)
{
    int64_t wait_ms = 30 * SECOND_MS;

    for (int i = 0; i < tries && wait_ms < HOUR_MS; i++)
        wait_ms *= 2;
    return wait_ms < HOUR_MS ? wait_ms : HOUR_MS;
}

bool event_record_kept(struct event_reporter *reporter, const struct event *event, enum answer_kind kind,
                       bool pause, bool put_off, struct outcome *error_r)
{
    struct store *store = reporter->asker.store;

    if (store_begin(store, STORE_DURABLE, error_r)) {
        int64_t put_off_ms = put_off ? retry_after_tries(event_outbox_tries(store, event)) : 0;
        if ((!pause || update_pauses(reporter, kind, error_r)) &&
            event_outbox_keep(store, event, clock_realtime_ms(), put_off_ms, error_r) &&
            store_commit(store, error_r))
            return true;
    }
    store_rollback(store);
    return false;
}

bool event_record_released(struct event_reporter *reporter, enum answer_kind kind, struct outcome *error_r)
{
    struct store *store = reporter->asker.store;

    if (kind == ANSWER_NOT_ASKED)
        return true;
    if (store_begin(store, STORE_NORMAL, error_r) && update_pauses(reporter, kind, error_r) &&
        store_commit(store, error_r))
        return true;
    store_rollback(store);
    return false;
}

bool event_record_batch_accepted(struct event_reporter *reporter, const struct event *events, int count,
                                 struct outcome *error_r)
{
    struct store *store = reporter->asker.store;
    bool well =
        store_begin(store, STORE_NORMAL, error_r) && update_pauses(reporter, ANSWER_ACCEPTED, error_r);

    for (int i = 0; well && i < count; i++)
        well = event_store_settle(store, &events[i], EVENT_REPORTED, error_r);
    if (well && store_commit(store, error_r))
        return true;
    store_rollback(store);
    return false;
}
