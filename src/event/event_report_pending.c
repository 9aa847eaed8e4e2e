/* event_report's other half: what is pending leaves in batches. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "event/event_outbox.h"
#include "event/event_report_private.h"

/* While the API is quick, so many batches are recorded in one go: to record one, it has to be waited for the
 * store. */
#define BATCHES 2
#define QUICK_MS 50
#define EVENTS_MAX 10000

/* The answer to a batch that was not accepted. */
static enum event_progress batch_not_accepted(struct event_reporter *reporter, enum event_answer kind,
                                              struct event *events, int count, const char *key,
                                              int64_t deadline_ms, struct event_report_counts *counts,
                                              struct outcome *error_r)
{
    if (kind == EVENT_ANSWER_REFUSED || kind == EVENT_ANSWER_FAILING)
        return event_report_one_at_a_time(reporter, events, count, key, deadline_ms, counts, error_r);
    counts->kept += (uint64_t)count;
    return event_report_released(reporter, kind, error_r) ? event_progress_after(kind)
                                                          : EVENT_PROGRESS_TROUBLE;
}

/* Batches of up to limit events, one after the other; what was accepted is recorded in one go. */
static enum event_progress report_batches(struct event_reporter *reporter, struct event *events, int count,
                                          int limit, const char *key, int64_t deadline_ms,
                                          struct event_report_counts *counts, struct outcome *error_r)
{
    int64_t begun_ms = clock_monotonic_ms();
    enum event_answer kind = EVENT_ANSWER_ACCEPTED;
    int accepted = 0, size = 0, asked = 0;

    if (count == 1)
        return event_report_one_at_a_time(reporter, events, count, key, deadline_ms, counts, error_r);
    for (; kind == EVENT_ANSWER_ACCEPTED && accepted < count; asked++) {
        size = count - accepted < limit ? count - accepted : limit;
        for (int i = 0; i < size; i++)
            event_ask_choose_word(&reporter->asker, &events[accepted + i]);
        kind = event_ask(&reporter->asker, events + accepted, size, key, deadline_ms);
        accepted += kind == EVENT_ANSWER_ACCEPTED ? size : 0;
    }
    reporter->batches =
        kind == EVENT_ANSWER_ACCEPTED && clock_monotonic_ms() - begun_ms < QUICK_MS * asked ? BATCHES : 1;
    counts->reported += (uint64_t)accepted;
    if (accepted > 0 && !event_report_batch_accepted(reporter, events, accepted, error_r))
        return EVENT_PROGRESS_TROUBLE;
    return kind == EVENT_ANSWER_ACCEPTED ? EVENT_PROGRESS_MADE
                                         : batch_not_accepted(reporter, kind, events + accepted, size, key,
                                                              deadline_ms, counts, error_r);
}

/* What the endpoint does not want stays here: with it, the batch would be refused. */
static bool leave_unwanted(struct event_reporter *reporter, struct event *events, int *count,
                           struct outcome *error_r)
{
    struct store *store = reporter->asker.store;
    bool wanted = event_ask_wants(&reporter->asker, CS_DEFERRED);
    int left = 0;

    if (wanted)
        return true;
    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    for (int i = 0; i < *count; i++) {
        if (events[i].cs != CS_DEFERRED) {
            events[left++] = events[i];
        } else if (!event_outbox_settle(store, &events[i], EVENT_LOCAL, error_r)) {
            store_rollback(store);
            return false;
        }
    }
    if (left == *count) {
        store_rollback(store);
        return true;
    }
    *count = left;
    return store_commit(store, error_r);
}

/* An API that failed on a full batch may manage a smaller one. */
static int batch_limit(const struct event_reporter *reporter)
{
    uint32_t size = reporter->asker.config->batch_size;
    int failures = reporter->pauses.endpoint.failures;

    size = failures > 1 ? size >> (failures - 1 < 31 ? failures - 1 : 31) : size;
    return size > 0 ? (int)size : 1;
}

/* The last ones to the front. */
static void rotate(struct event *events, int count, int last)
{
    AUTO_FREE struct event *moved = xmalloc(((size_t)last + 1) * sizeof *moved);

    memcpy(moved, events + count - last, (size_t)last * sizeof *moved);
    memmove(events + last, events, (size_t)(count - last) * sizeof *events);
    memcpy(events, moved, (size_t)last * sizeof *moved);
}

/* heed: respect pauses. */
static enum event_progress report_tpsp(struct event_reporter *reporter, const char *tpsp, bool heed,
                                       int64_t due_ms, int64_t deadline_ms,
                                       struct event_report_counts *counts, struct outcome *error_r)
{
    struct event_asker *asker = &reporter->asker;
    int64_t now_ms = clock_realtime_ms();
    const char *key = event_ask_key(asker, tpsp);

    event_pauses_read(&reporter->pauses, asker->store, asker->fingerprint, key, now_ms, &reporter->pace);
    if (heed && (event_pause_holds(&reporter->pauses.endpoint, now_ms) ||
                 event_pause_holds(&reporter->pauses.key, now_ms))) {
        event_report_may_ask(reporter, now_ms); /* says why */
        return event_pause_holds(&reporter->pauses.endpoint, now_ms) ? EVENT_PROGRESS_STOP
                                                                     : EVENT_PROGRESS_KEY;
    }
    int limit = batch_limit(reporter),
        most = limit * (reporter->batches > 1 && limit > 1 && limit < EVENTS_MAX / BATCHES ? BATCHES : 1);
    AUTO_FREE struct event *events = xmalloc((size_t)most * sizeof *events);
    int fresh, count = event_outbox_read(asker->store, tpsp, due_ms, now_ms, most, events, &fresh, error_r);
    if (count >
        limit) /* what happens now goes in the first batch; older events of its messages there are none */
        rotate(events, count, fresh);
    if (count <= 0)
        return count == 0 ? EVENT_PROGRESS_NONE : EVENT_PROGRESS_TROUBLE;
    if (!leave_unwanted(reporter, events, &count, error_r))
        return EVENT_PROGRESS_TROUBLE;
    if (count == 0)
        return EVENT_PROGRESS_MADE;
    if (!heed) {
        reporter->pauses.claimed = true;
    } else if (!event_report_may_ask(reporter, now_ms)) {
        counts->kept += (uint64_t)count;
        return EVENT_PROGRESS_STOP;
    }
    return report_batches(reporter, events, count, limit, key, deadline_ms, counts, error_r);
}

/* One process at a time, for the time of a batch: nothing is reported twice, and a message's events stay in
 * order. */
static enum event_progress take_turn(struct event_reporter *reporter, const char *tpsp, bool heed,
                                     int64_t due_ms, int64_t deadline_ms, struct event_report_counts *counts,
                                     struct outcome *error_r)
{
    AUTO_CLOSE int turn = store_lock(reporter->asker.config->state_dir, "report", deadline_ms, error_r);

    return turn < 0 ? EVENT_PROGRESS_TROUBLE
                    : report_tpsp(reporter, tpsp, heed, due_ms, deadline_ms, counts, error_r);
}

enum event_report_result event_report_pending(struct event_reporter *reporter, bool all, int64_t deadline_ms,
                                              struct event_report_counts *counts_r, struct outcome *error_r)
{
    struct store *store = reporter->asker.store;
    int64_t due_ms = clock_realtime_ms();
    uint64_t kept_before = counts_r->kept;
    bool heed = !all, again = true, key_refused = false, stopped = false;
    int64_t last_ms = deadline_ms - reporter->asker.config->report.timeout_ms;

    counts_r->unfinished = false;
    if (all && !event_outbox_hasten(store, due_ms, error_r))
        return EVENT_REPORT_TROUBLE;
    while (again && !stopped) { /* a batch of each in turn: no TPSP keeps the others waiting */
        AUTO_FREE char *tpsp = NULL;
        int more;
        again = false;
        for (;;) {
            char *next = NULL;
            more = event_outbox_next_tpsp(store, tpsp, &next, error_r);
            free(tpsp);
            tpsp = next;
            if (more <= 0)
                break;
            if (reporter->asker.config->endpoint == NULL) {
                snprintf(reporter->asker.last_error, sizeof reporter->asker.last_error,
                         "endpoint is none: there is nobody to report to");
                return EVENT_REPORT_KEPT;
            }
            enum event_progress progress =
                take_turn(reporter, tpsp, heed, due_ms, deadline_ms, counts_r, error_r);
            if (progress == EVENT_PROGRESS_TROUBLE)
                return EVENT_REPORT_TROUBLE;
            again = again || progress == EVENT_PROGRESS_MADE;
            key_refused = key_refused || progress == EVENT_PROGRESS_KEY;
            counts_r->unfinished = progress == EVENT_PROGRESS_MADE && clock_monotonic_ms() >= last_ms;
            stopped = progress == EVENT_PROGRESS_STOP || counts_r->unfinished;
            if (stopped)
                break;
        }
        if (more < 0)
            return EVENT_REPORT_TROUBLE;
        heed = true; /* what was refused a moment ago is not asked in every round */
    }
    event_sweep_regularly(&reporter->sweep, store, reporter->asker.config);
    return stopped || key_refused || counts_r->kept > kept_before ? EVENT_REPORT_KEPT : EVENT_REPORT_DONE;
}
