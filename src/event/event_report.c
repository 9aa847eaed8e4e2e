#include "event/event_report.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "base/xalloc.h"
#include "event/event_outbox.h"
#include "event/event_report_private.h"

#define OWN_TIME_MS 5000 /* of the writer of an event, beyond report.timeout */
#define SECOND_MS 1000LL
#define HOUR_MS (3600 * SECOND_MS)

#define OLDER_MAX 20 /* events of one message that one report of a new one takes along */

enum event_state event_report_state(const struct config *config, const struct event *event)
{
    bool accepted = event->source == EVENT_SOURCE_PIPE && (event->cs == CS_DELIVERED || event->cs == CS_SENT);

    if (config->endpoint == NULL || (accepted && config->report.accepted_as == ACCEPTED_AS_NONE) ||
        (event->cs == CS_DEFERRED && config->report.deferred == DEFERRED_FALSE))
        return EVENT_LOCAL;
    return EVENT_PENDING;
}

int64_t event_report_due_ms(const struct config *config, int64_t now_ms)
{
    return now_ms + config->report.timeout_ms + OWN_TIME_MS;
}

struct event_reporter *event_reporter_open(const struct config *config, struct store *store,
                                           const struct event_reporter_options *options)
{
    struct event_reporter *reporter = xcalloc(1, sizeof *reporter);
    char fingerprint[UUID_SIZE];

    reporter->asker.config = config;
    reporter->asker.store = store;
    reporter->asker.options = *options;
    uuid_derived(fingerprint, (const char *[]){"endpoint", config->endpoint}, 2);
    snprintf(reporter->asker.fingerprint, sizeof reporter->asker.fingerprint, "%.8s", fingerprint);
    return reporter;
}

void event_reporter_close(struct event_reporter *reporter)
{
    if (reporter == NULL)
        return;
    http_client_close(reporter->asker.client);
    event_pauses_free(&reporter->pauses);
    free(reporter);
}

const char *event_reporter_last_error(const struct event_reporter *reporter)
{
    return reporter->asker.last_error;
}

/* --- putting it on record ------------------------------------------------------------------------- */

static bool update_pauses(struct event_reporter *reporter, enum event_answer kind, struct outcome *error_r)
{
    const struct event_asker *asker = &reporter->asker;

    return event_pauses_update(&reporter->pauses, asker->store, kind, asker->answer, asker->config->endpoint,
                               error_r);
}

/* The API has judged one event. learnt: see event_ask_alone(). */
static bool record_settled(struct event_reporter *reporter, const struct event *event, enum event_answer kind,
                           bool learnt, struct outcome *error_r)
{
    struct store *store = reporter->asker.store;
    enum event_state state = kind == EVENT_ANSWER_ACCEPTED  ? EVENT_REPORTED
                             : kind == EVENT_ANSWER_REFUSED ? EVENT_REJECTED
                                                            : EVENT_LOCAL;
    bool asked = kind != EVENT_ANSWER_UNWANTED || learnt;

    if (state == EVENT_REJECTED)
        log_line(
            LOG_ERR,
            "event %s (%s of message %s, recipient <%s>) is refused by the event API and not sent again: %s",
            event->event_id, event_type(event), event->message_id, event->recipient,
            reporter->asker.answer->text);
    /* what the API does not have is here alone; a deferral ends nothing */
    bool here_alone = state != EVENT_REPORTED && event->cs != CS_DEFERRED;
    if (store_begin(store, here_alone ? STORE_DURABLE : STORE_NORMAL, error_r) &&
        event_outbox_settle(store, event, state, error_r) &&
        (!learnt || event_ask_remember_word(&reporter->asker, event, error_r)) &&
        (!asked || (update_pauses(reporter, kind, error_r) &&
                    event_pace_learn(&reporter->pace, reporter->asker.config, store,
                                     reporter->asker.fingerprint, reporter->asker.elapsed_ms, error_r))) &&
        store_commit(store, error_r))
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

/* One that was tried alone stays pending, on disk before this returns. pause: others should wait, too.
 * put_off: this one should wait longer at each time. */
static bool record_kept(struct event_reporter *reporter, const struct event *event, enum event_answer kind,
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

bool event_report_released(struct event_reporter *reporter, enum event_answer kind, struct outcome *error_r)
{
    struct store *store = reporter->asker.store;

    if (kind == EVENT_ANSWER_NOT_ASKED)
        return true;
    if (store_begin(store, STORE_NORMAL, error_r) && update_pauses(reporter, kind, error_r) &&
        store_commit(store, error_r))
        return true;
    store_rollback(store);
    return false;
}

bool event_report_batch_accepted(struct event_reporter *reporter, const struct event *events, int count,
                                 struct outcome *error_r)
{
    struct store *store = reporter->asker.store;
    bool done =
        store_begin(store, STORE_NORMAL, error_r) && update_pauses(reporter, EVENT_ANSWER_ACCEPTED, error_r);

    for (int i = 0; done && i < count; i++)
        done = event_outbox_settle(store, &events[i], EVENT_REPORTED, error_r);
    if (done && store_commit(store, error_r))
        return true;
    store_rollback(store);
    return false;
}

/* --- asking ---------------------------------------------------------------------------------------- */

bool event_report_may_ask(struct event_reporter *reporter, int64_t now_ms)
{
    struct event_asker *asker = &reporter->asker;

    return event_pauses_allow(&reporter->pauses, asker->store, now_ms,
                              asker->config->report.timeout_ms + SECOND_MS, asker->last_error,
                              sizeof asker->last_error);
}

void event_reporter_prepare(struct event_reporter *reporter, const char *tpsp)
{
    struct event_asker *asker = &reporter->asker;
    int64_t now_ms = clock_realtime_ms();

    if (asker->config->endpoint == NULL || http_client_is_prepared(event_ask_client(asker)))
        return;
    event_pauses_read(&reporter->pauses, asker->store, asker->fingerprint, event_ask_key(asker, tpsp), now_ms,
                      &reporter->pace);
    if (!event_pause_holds(&reporter->pauses.endpoint, now_ms) &&
        !event_pause_holds(&reporter->pauses.key, now_ms) &&
        event_pace_expects(&reporter->pace, asker->config, now_ms))
        http_client_prepare(event_ask_client(asker));
}

enum event_answer event_reporter_probe(struct event_reporter *reporter, const char *key)
{
    struct event_asker *asker = &reporter->asker;

    return event_ask(asker, NULL, 0, key, clock_monotonic_ms() + asker->config->report.timeout_ms);
}

int64_t event_reporter_date_s(const struct event_reporter *reporter)
{
    return reporter->asker.answer != NULL ? reporter->asker.answer->date_s : 0;
}

/* --- reporting ------------------------------------------------------------------------------------ */

static bool is_settled(enum event_answer kind)
{
    return kind == EVENT_ANSWER_ACCEPTED || kind == EVENT_ANSWER_REFUSED || kind == EVENT_ANSWER_UNWANTED;
}

enum event_progress event_progress_after(enum event_answer kind)
{
    return kind == EVENT_ANSWER_KEY_REFUSED ? EVENT_PROGRESS_KEY : EVENT_PROGRESS_STOP;
}

/* An older one of its message stays behind. */
static bool is_held_up(const struct event *events, const bool *kept, int number)
{
    for (int i = 0; i < number; i++)
        if (kept[i] && strcmp(events[i].message_id, events[number].message_id) == 0)
            return true;
    return false;
}

enum event_progress event_report_one_at_a_time(struct event_reporter *reporter, struct event *events,
                                               int count, const char *key, int64_t deadline_ms,
                                               struct event_report_counts *counts, struct outcome *error_r)
{
    AUTO_FREE bool *kept = xcalloc((size_t)count, sizeof *kept);
    int failed_before = -1; /* the last one, unless one was settled since */

    for (int i = 0; i < count; i++) {
        bool learnt;
        if (is_held_up(events, kept, i)) {
            kept[i] = true;
            counts->kept++;
            continue;
        }
        enum event_answer kind = event_ask_alone(&reporter->asker, &events[i], key, deadline_ms, &learnt);
        if (is_settled(kind)) {
            if (!record_settled(reporter, &events[i], kind, learnt, error_r))
                return EVENT_PROGRESS_TROUBLE;
            failed_before = -1;
            counts->reported += kind == EVENT_ANSWER_ACCEPTED;
            counts->rejected += kind == EVENT_ANSWER_REFUSED;
            continue;
        }
        bool stop = kind != EVENT_ANSWER_FAILING || failed_before >= 0 || count == 1;
        bool put_off = kind == EVENT_ANSWER_FAILING && failed_before < 0;
        if (!record_kept(reporter, &events[i], kind, stop, put_off, error_r) ||
            (failed_before >= 0 &&
             !record_kept(reporter, &events[failed_before], EVENT_ANSWER_NOT_ASKED, false, false, error_r)))
            return EVENT_PROGRESS_TROUBLE;
        counts->kept++;
        failed_before = i;
        kept[i] = true;
        if (stop) {
            counts->kept += (uint64_t)(count - i - 1);
            return event_progress_after(kind);
        }
    }
    return EVENT_PROGRESS_MADE;
}

/* What of its message is pending and goes with the same key; see event_outbox_older(). A failure here holds
 * up nothing. */
static int read_older(struct event_reporter *reporter, const struct event *event, const char *key,
                      struct event *events_r, bool *put_off_r)
{
    struct outcome ignored;
    int count = event_outbox_older(reporter->asker.store, event, clock_realtime_ms(), OLDER_MAX, events_r,
                                   put_off_r, &ignored);
    int kept = 0;

    for (int i = 0; i < count; i++)
        if (event_ask_key(&reporter->asker, events_r[i].tpsp) == key &&
            event_ask_wants(&reporter->asker, events_r[i].cs))
            events_r[kept++] = events_r[i];
    return kept;
}

/*
 * Older events of its message, pending since the API could not be reached, go first, in one request with it.
 * Where another process is reporting, all is left to that.
 */
static enum event_answer ask_in_order(struct event_reporter *reporter, struct event *event, const char *key,
                                      int64_t deadline_ms, bool *learnt_r)
{
    struct event_asker *asker = &reporter->asker;
    AUTO_FREE struct event *events = xmalloc((OLDER_MAX + 1) * sizeof *events);
    struct event_report_counts counts = {0};
    struct outcome error;
    bool put_off;

    int known = read_older(reporter, event, key, events, &put_off);
    store_read_end(asker->store);
    if (known == 0)
        return event_ask_alone(asker, event, key, deadline_ms, learnt_r);
    AUTO_CLOSE int turn = store_lock(asker->config->state_dir, "report", clock_monotonic_ms(), &error);
    if (turn < 0 || put_off) {
        snprintf(asker->last_error, sizeof asker->last_error, "older events of this message are pending");
        return EVENT_ANSWER_NOT_ASKED;
    }
    int older = read_older(reporter, event, key, events, &put_off); /* what nobody has reported meanwhile */
    events[older] = *event;
    for (int i = 0; i <= older; i++)
        event_ask_choose_word(asker, &events[i]);
    enum event_answer kind = event_ask(asker, events, older + 1, key, deadline_ms);
    *event = events[older];
    if (kind == EVENT_ANSWER_REFUSED || kind == EVENT_ANSWER_FAILING)
        return older == 0 || (event_report_one_at_a_time(reporter, events, older, key, deadline_ms, &counts,
                                                         &error) == EVENT_PROGRESS_MADE &&
                              counts.kept == 0)
                   ? event_ask_alone(asker, event, key, deadline_ms, learnt_r)
                   : EVENT_ANSWER_NOT_ASKED;
    if (kind == EVENT_ANSWER_ACCEPTED && !event_report_batch_accepted(reporter, events, older, &error))
        log_line(LOG_WARNING, "events of message %s were reported, but this cannot be recorded: %s",
                 event->message_id, error.text);
    return kind;
}

enum event_report_result event_report_one(struct event_reporter *reporter, const struct event *event,
                                          int64_t deadline_ms, struct outcome *error_r)
{
    struct event_asker *asker = &reporter->asker;
    int64_t now_ms = clock_realtime_ms(), latest_ms = clock_monotonic_ms() + asker->config->report.timeout_ms;
    enum event_answer kind = EVENT_ANSWER_NOT_ASKED;
    struct event copy = *event;
    bool learnt = false;

    if (asker->config->endpoint == NULL)
        return event_outbox_settle(asker->store, event, EVENT_LOCAL, error_r) ? EVENT_REPORT_DONE
                                                                              : EVENT_REPORT_TROUBLE;
    const char *key = event_ask_key(asker, event->tpsp);
    store_read_begin(asker->store); /* ends with the first write, or before the API is asked */
    event_pauses_read(&reporter->pauses, asker->store, asker->fingerprint, key, now_ms, &reporter->pace);
    if (event_pace_leaves(&reporter->pace, asker->config, asker->store, asker->fingerprint, now_ms))
        return record_kept(reporter, event, EVENT_ANSWER_NOT_ASKED, false, false, error_r)
                   ? EVENT_REPORT_LEFT
                   : EVENT_REPORT_TROUBLE;
    if (event_report_may_ask(reporter, now_ms))
        kind = ask_in_order(reporter, &copy, key, latest_ms < deadline_ms ? latest_ms : deadline_ms, &learnt);
    if (!is_settled(kind))
        return record_kept(reporter, &copy, kind, true, kind == EVENT_ANSWER_FAILING, error_r)
                   ? EVENT_REPORT_KEPT
                   : EVENT_REPORT_TROUBLE;
    if (!record_settled(reporter, &copy, kind, learnt, error_r))
        /* the API has judged it: what is lost is that we know, and the same event_id may be reported once
         * more */
        log_line(LOG_WARNING, "event %s was reported, but this cannot be recorded: %s", event->event_id,
                 error_r->text);
    return EVENT_REPORT_DONE;
}

void event_reporter_rest(struct event_reporter *reporter)
{
    event_sweep_sometimes(&reporter->sweep, reporter->asker.store, reporter->asker.config);
}
