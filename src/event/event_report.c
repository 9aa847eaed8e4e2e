#include "event/event_report.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "base/xalloc.h"
#include "event/event_outbox.h"
#include "event/event_record.h"

#define OWN_TIME_MS 5000 /* of the writer of an event, beyond report.timeout */
#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)

#define OLDER_MAX 20 /* events of one message that one report of a new one takes along */

/* A process that only ever reports its own event sweeps once in so many runs, some EVENT_SWEEP_ROWS: more
 * than it adds. */
#define SWEEP_ODDS 200
#define SWEEP_ONE_MS 5
/* While the API is quick, so many batches are recorded in one go: to record one, it has to be waited for the
 * store. */
#define BATCHES 10
#define QUICK_MS 50
#define EVENTS_MAX 10000
#define SWEEP_MANY_MS 1000 /* once a minute: more rows than a minute brings */

enum event_state event_report_state(const struct config *config, const struct event *event)
{
    bool accepted = event->source == EVENT_SOURCE_PIPE && (event->cs == CS_DELIVERED || event->cs == CS_SENT);

    if (config->endpoint == NULL || (accepted && config->report.accepted_as == ACCEPTED_AS_NONE) ||
        (event->cs == CS_DEFERRED && !config->report.deferred))
        return EVENT_LOCAL;
    return EVENT_PENDING;
}

int64_t event_report_due_ms(const struct config *config, int64_t now_ms)
{
    return now_ms + config->report.timeout_ms + OWN_TIME_MS;
}

struct event_reporter *event_reporter_open(const struct config *config, struct store *store)
{
    struct event_reporter *reporter = xcalloc(1, sizeof *reporter);
    char fingerprint[UUID_SIZE];

    reporter->asker.config = config;
    reporter->asker.store = store;
    uuid_derived(fingerprint, (const char *[]){"endpoint", config->endpoint}, 2);
    snprintf(reporter->asker.fingerprint, sizeof reporter->asker.fingerprint, "%.8s", fingerprint);
    return reporter;
}

void event_reporter_close(struct event_reporter *reporter)
{
    if (reporter == NULL)
        return;
    event_client_close(reporter->asker.client);
    free(reporter->endpoint_pause.name);
    free(reporter->key_pause.name);
    free(reporter);
}

void event_reporter_trace(struct event_reporter *reporter, FILE *trace)
{
    reporter->asker.trace = trace;
    if (reporter->asker.client != NULL)
        event_client_trace(reporter->asker.client, trace);
}

void event_reporter_compress(struct event_reporter *reporter,
                             char *(*compress)(const char *body, size_t length, size_t *packed_length_r))
{
    reporter->asker.compress = compress;
}

void event_reporter_observe(struct event_reporter *reporter,
                            void (*observe)(void *context, int status, int64_t elapsed_ms), void *context)
{
    reporter->asker.observe = observe;
    reporter->asker.observe_context = context;
}

const char *event_reporter_last_error(const struct event_reporter *reporter)
{
    return reporter->asker.last_error;
}

/* --- retention ------------------------------------------------------------------------------------ */

static void sweep(struct event_reporter *reporter, int64_t time_ms)
{
    int64_t before_ms = clock_realtime_ms() - reporter->asker.config->events_retention_ms;
    int64_t until_ms = clock_monotonic_ms() + time_ms;
    struct outcome error;
    int deleted;

    do {
        deleted = event_store_sweep(reporter->asker.store, before_ms, &reporter->sweep_from, &error);
    } while (deleted >= 0 && reporter->sweep_from > 0 && clock_monotonic_ms() < until_ms);
    if (deleted < 0) /* nothing depends on it: the next sweep finds the same rows */
        log_line(LOG_WARNING, "old events are not deleted: %s", error.text);
}

static bool one_in(unsigned odds)
{
    unsigned random = 0;

    return getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random && random % odds == 0;
}

/* --- reporting ------------------------------------------------------------------------------------ */

static bool is_settled(enum answer_kind kind)
{
    return kind == ANSWER_ACCEPTED || kind == ANSWER_REFUSED;
}

/* What the round of a TPSP's events came to. */
enum progress {
    PROGRESS_NONE,    /* nothing of it is due */
    PROGRESS_MADE,    /* some more may be due */
    PROGRESS_KEY,     /* its key is refused: others may do better */
    PROGRESS_STOP,    /* the API takes nothing now */
    PROGRESS_TROUBLE, /* the store failed */
};

static enum progress progress_after(enum answer_kind kind)
{
    return kind == ANSWER_KEY_REFUSED ? PROGRESS_KEY : PROGRESS_STOP;
}

/* After a batch was refused, or failed in a way that one bad event can cause. An event that fails alone where
 * others do not is put off by itself; two in a row mean that it is the API. */
static enum progress report_one_at_a_time(struct event_reporter *reporter, struct event *events, int count,
                                          const char *key, int64_t deadline_ms,
                                          struct event_report_counts *counts, struct outcome *error_r)
{
    bool failed_before = false;

    for (int i = 0; i < count; i++) {
        bool learnt;
        enum answer_kind kind = event_ask_alone(&reporter->asker, &events[i], key, deadline_ms, &learnt);
        if (is_settled(kind)) {
            if (!event_record_settled(reporter, &events[i], kind, learnt, error_r))
                return PROGRESS_TROUBLE;
            failed_before = false;
            *(kind == ANSWER_ACCEPTED ? &counts->reported : &counts->rejected) += 1;
            continue;
        }
        bool stop = kind != ANSWER_FAILING || failed_before || count == 1;
        bool put_off = kind == ANSWER_FAILING && !failed_before;
        if (!event_record_kept(reporter, &events[i], kind, stop, put_off, error_r) ||
            (failed_before &&
             !event_record_kept(reporter, &events[i - 1], ANSWER_NOT_ASKED, false, false, error_r)))
            return PROGRESS_TROUBLE;
        counts->kept++;
        failed_before = true;
        if (stop) {
            counts->kept += (uint64_t)(count - i - 1);
            return progress_after(kind);
        }
    }
    return PROGRESS_MADE;
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
        if (event_ask_key(&reporter->asker, events_r[i].tpsp) == key)
            events_r[kept++] = events_r[i];
    return kept;
}

/*
 * Older events of its message, pending since the API could not be reached, go first, in one request with it.
 * Where another process is reporting, all is left to that.
 */
static enum answer_kind ask_in_order(struct event_reporter *reporter, struct event *event, const char *key,
                                     int64_t deadline_ms, bool *learnt_r)
{
    struct event_asker *asker = &reporter->asker;
    AUTO_FREE struct event *events = xmalloc((OLDER_MAX + 1) * sizeof *events);
    struct event_report_counts counts = {0};
    struct outcome error;
    bool put_off;

    if (read_older(reporter, event, key, events, &put_off) == 0)
        return event_ask_alone(asker, event, key, deadline_ms, learnt_r);
    AUTO_CLOSE int turn = store_lock(asker->config->state_dir, "report", clock_monotonic_ms(), &error);
    if (turn < 0 || put_off) {
        snprintf(asker->last_error, sizeof asker->last_error, "older events of this message are pending");
        return ANSWER_NOT_ASKED;
    }
    int older = read_older(reporter, event, key, events, &put_off); /* what nobody has reported meanwhile */
    events[older] = *event;
    for (int i = 0; i <= older; i++)
        event_ask_choose_word(asker, &events[i]);
    enum answer_kind kind = event_ask(asker, events, older + 1, key, deadline_ms);
    *event = events[older];
    if (kind == ANSWER_REFUSED || kind == ANSWER_FAILING)
        return older == 0 || report_one_at_a_time(reporter, events, older, key, deadline_ms, &counts,
                                                  &error) == PROGRESS_MADE
                   ? event_ask_alone(asker, event, key, deadline_ms, learnt_r)
                   : ANSWER_NOT_ASKED;
    if (kind == ANSWER_ACCEPTED && !event_record_batch_accepted(reporter, events, older, &error))
        log_line(LOG_WARNING, "events of message %s were reported, but this cannot be recorded: %s",
                 event->message_id, error.text);
    return kind;
}

enum event_report_result event_report_one(struct event_reporter *reporter, const struct event *event,
                                          int64_t deadline_ms, struct outcome *error_r)
{
    struct event_asker *asker = &reporter->asker;
    int64_t now_ms = clock_realtime_ms(), latest_ms = clock_monotonic_ms() + asker->config->report.timeout_ms;
    enum answer_kind kind = ANSWER_NOT_ASKED;
    struct event copy = *event;
    bool learnt = false;

    if (asker->config->endpoint == NULL)
        return event_store_settle(asker->store, event, EVENT_LOCAL, error_r) ? EVENT_REPORT_DONE
                                                                             : EVENT_REPORT_TROUBLE;
    const char *key = event_ask_key(asker, event->tpsp);
    event_record_read_pauses(reporter, key, now_ms);
    if (event_record_may_ask(reporter, now_ms))
        kind = ask_in_order(reporter, &copy, key, latest_ms < deadline_ms ? latest_ms : deadline_ms, &learnt);
    if (!is_settled(kind))
        return event_record_kept(reporter, &copy, kind, true, kind == ANSWER_FAILING, error_r)
                   ? EVENT_REPORT_KEPT
                   : EVENT_REPORT_TROUBLE;
    if (!event_record_settled(reporter, &copy, kind, learnt, error_r))
        /* the API has judged it: what is lost is that we know, and the same event_id may be reported once
         * more */
        log_line(LOG_WARNING, "event %s was reported, but this cannot be recorded: %s", event->event_id,
                 error_r->text);
    if (one_in(SWEEP_ODDS))
        sweep(reporter, SWEEP_ONE_MS);
    return EVENT_REPORT_DONE;
}

/* The answer to a batch that was not accepted. */
static enum progress batch_not_accepted(struct event_reporter *reporter, enum answer_kind kind,
                                        struct event *events, int count, const char *key, int64_t deadline_ms,
                                        struct event_report_counts *counts, struct outcome *error_r)
{
    if (kind == ANSWER_REFUSED || kind == ANSWER_FAILING)
        return report_one_at_a_time(reporter, events, count, key, deadline_ms, counts, error_r);
    counts->kept += (uint64_t)count;
    return event_record_released(reporter, kind, error_r) ? progress_after(kind) : PROGRESS_TROUBLE;
}

/* Batches of up to limit events, one after the other; what was accepted is recorded in one go. */
static enum progress report_batches(struct event_reporter *reporter, struct event *events, int count,
                                    int limit, const char *key, int64_t deadline_ms,
                                    struct event_report_counts *counts, struct outcome *error_r)
{
    int64_t begun_ms = clock_monotonic_ms();
    enum answer_kind kind = ANSWER_ACCEPTED;
    int accepted = 0, size = 0, asked = 0;

    if (count == 1)
        return report_one_at_a_time(reporter, events, count, key, deadline_ms, counts, error_r);
    for (; kind == ANSWER_ACCEPTED && accepted < count; asked++) {
        size = count - accepted < limit ? count - accepted : limit;
        for (int i = 0; i < size; i++)
            event_ask_choose_word(&reporter->asker, &events[accepted + i]);
        kind = event_ask(&reporter->asker, events + accepted, size, key, deadline_ms);
        accepted += kind == ANSWER_ACCEPTED ? size : 0;
    }
    reporter->batches =
        kind == ANSWER_ACCEPTED && clock_monotonic_ms() - begun_ms < QUICK_MS * asked ? BATCHES : 1;
    counts->reported += (uint64_t)accepted;
    if (accepted > 0 && !event_record_batch_accepted(reporter, events, accepted, error_r))
        return PROGRESS_TROUBLE;
    return kind == ANSWER_ACCEPTED ? PROGRESS_MADE
                                   : batch_not_accepted(reporter, kind, events + accepted, size, key,
                                                        deadline_ms, counts, error_r);
}

/* An API that failed on a full batch may manage a smaller one. */
static int batch_limit(const struct event_reporter *reporter)
{
    uint32_t size = reporter->asker.config->batch_size;
    int failures = reporter->endpoint_pause.failures;

    size = failures > 1 ? size >> (failures - 1 < 31 ? failures - 1 : 31) : size;
    return size > 0 ? (int)size : 1;
}

/* heed: respect pauses. */
static enum progress report_tpsp(struct event_reporter *reporter, const char *tpsp, bool heed, int64_t due_ms,
                                 int64_t deadline_ms, struct event_report_counts *counts,
                                 struct outcome *error_r)
{
    struct event_asker *asker = &reporter->asker;
    int64_t now_ms = clock_realtime_ms();
    const char *key = event_ask_key(asker, tpsp);

    event_record_read_pauses(reporter, key, now_ms);
    if (heed && (event_pause_holds(&reporter->endpoint_pause, now_ms) ||
                 event_pause_holds(&reporter->key_pause, now_ms))) {
        event_record_may_ask(reporter, now_ms); /* says why */
        return event_pause_holds(&reporter->endpoint_pause, now_ms) ? PROGRESS_STOP : PROGRESS_KEY;
    }
    int limit = batch_limit(reporter),
        most = limit * (reporter->batches > 1 && limit > 1 && limit < EVENTS_MAX / BATCHES ? BATCHES : 1);
    AUTO_FREE struct event *events = xmalloc((size_t)most * sizeof *events);
    int count = event_outbox_read(asker->store, tpsp, due_ms, now_ms, most, events, error_r);
    if (count <= 0)
        return count == 0 ? PROGRESS_NONE : PROGRESS_TROUBLE;
    if (!heed) {
        reporter->claimed = true;
    } else if (!event_record_may_ask(reporter, now_ms)) {
        counts->kept += (uint64_t)count;
        return PROGRESS_STOP;
    }
    return report_batches(reporter, events, count, limit, key, deadline_ms, counts, error_r);
}

/* One process at a time, for the time of a batch: nothing is reported twice, and a message's events stay in
 * order. */
static enum progress take_turn(struct event_reporter *reporter, const char *tpsp, bool heed, int64_t due_ms,
                               int64_t deadline_ms, struct event_report_counts *counts,
                               struct outcome *error_r)
{
    AUTO_CLOSE int turn = store_lock(reporter->asker.config->state_dir, "report", deadline_ms, error_r);

    return turn < 0 ? PROGRESS_TROUBLE
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
            enum progress progress = take_turn(reporter, tpsp, heed, due_ms, deadline_ms, counts_r, error_r);
            if (progress == PROGRESS_TROUBLE)
                return EVENT_REPORT_TROUBLE;
            again = again || progress == PROGRESS_MADE;
            key_refused = key_refused || progress == PROGRESS_KEY;
            counts_r->unfinished = progress == PROGRESS_MADE && clock_monotonic_ms() >= last_ms;
            stopped = progress == PROGRESS_STOP || counts_r->unfinished;
            if (stopped)
                break;
        }
        if (more < 0)
            return EVENT_REPORT_TROUBLE;
        heed = true; /* what was refused a moment ago is not asked in every round */
    }
    if (reporter->swept_ms == 0 || clock_monotonic_ms() - reporter->swept_ms > MINUTE_MS) {
        reporter->swept_ms = clock_monotonic_ms();
        sweep(reporter, SWEEP_MANY_MS);
    }
    return stopped || key_refused || counts_r->kept > kept_before ? EVENT_REPORT_KEPT : EVENT_REPORT_DONE;
}
