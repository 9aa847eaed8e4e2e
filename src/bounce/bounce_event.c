#include "bounce/bounce_event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "event/event_report.h"
#include "event/event_store.h"
#include "policy/suppression.h"

#define QUIET_MS 60000                  /* between two lines of what makes no event, of each kind */
#define OLDEST_MS (30 * 24 * 3600000LL) /* a report older than this has a wrong clock */

static int64_t timestamp(const struct dsn *report, int64_t now_ms)
{
    bool credible = report->date_ms <= now_ms && report->date_ms > now_ms - OLDEST_MS;

    return credible ? report->date_ms : now_ms;
}

void bounce_event_compose(struct event *event_r, const struct dsn *report, const struct dsn_recipient *said,
                          const char *recipient, const char *message_id, const struct event *sent,
                          int64_t now_ms)
{
    memset(event_r, 0, sizeof *event_r);
    event_r->cs = said->hard ? CS_HARD_BOUNCED : CS_SOFT_BOUNCED;
    event_r->source = EVENT_SOURCE_BOUNCE;
    event_r->timestamp_ms = timestamp(report, now_ms);
    if (sent != NULL) {
        memcpy(event_r->sender, sent->sender, sizeof event_r->sender);
        memcpy(event_r->queue_id, sent->queue_id, sizeof event_r->queue_id);
        memcpy(event_r->tpsp, sent->tpsp, sizeof event_r->tpsp);
        event_r->tpsp_id = sent->tpsp_id;
        memcpy(event_r->provider, sent->provider, sizeof event_r->provider);
    }
    snprintf(event_r->message_id, sizeof event_r->message_id, "%s", message_id);
    snprintf(event_r->recipient, sizeof event_r->recipient, "%s", recipient);
    event_r->smtp_code = said->smtp_code;
    memcpy(event_r->smtp_enhanced_code, said->status, sizeof event_r->smtp_enhanced_code);
    event_describe(event_r, said->text, strlen(said->text));
    /* a delay is of the same kind as a soft failure, which may still come */
    event_identify(event_r, said->delayed ? "delayed" : "");
}

/* A report that comes again says nothing new: who was taken off the list since stays off it. */
static bool suppress(struct store *store, const struct config *config, const struct event *event,
                     struct belief_failure *failure, int64_t now_ms, struct outcome *error_r)
{
    if (event->cs != CS_HARD_BOUNCED || !failure->is_new)
        return true;
    int changed = suppression_after_hard_bounce(store, config, event->recipient, now_ms, error_r);
    failure->suppressed = changed > 0;
    return changed >= 0;
}

bool bounce_event_store(struct store *store, const struct config *config, const struct dsn *report,
                        const struct belief *belief, struct event *events_r, int64_t now_ms,
                        struct outcome *error_r)
{
    int64_t due_ms = event_report_due_ms(config, now_ms);

    if (!store_begin(store, STORE_DURABLE, error_r))
        return false;
    for (size_t i = 0; i < belief->count; i++) {
        struct belief_failure *failure = &belief->failures[i];
        int changes = sqlite3_total_changes(store_handle(store));
        bounce_event_compose(&events_r[i], report, failure->said, failure->recipient, belief->message_id,
                             failure->known ? &failure->sent : NULL, now_ms);
        bool ok =
            event_store_add(store, &events_r[i], event_report_state(config, &events_r[i]), due_ms, error_r);
        failure->is_new = sqlite3_total_changes(store_handle(store)) > changes;
        if (!ok || !suppress(store, config, &events_r[i], failure, now_ms, error_r)) {
            store_rollback(store);
            return false;
        }
    }
    return store_commit(store, error_r);
}

/* --- what makes no event ---------------------------------------------------------------------------- */

static bool put_number(struct store *store, const char *key, uint64_t number, struct outcome *error_r)
{
    char digits[24];

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    return store_put(store, key, digits, error_r);
}

bool bounce_event_count(struct store *store, const char *why, int64_t now_ms, uint64_t *told_r,
                        struct outcome *error_r)
{
    AUTO_FREE char *key = xasprintf("bounce.%s", why), *told_key = xasprintf("bounce.%s.told", why),
                   *when_key = xasprintf("bounce.%s.told_ms", why);

    *told_r = 0;
    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    uint64_t count = store_get_number(store, key) + 1, told = store_get_number(store, told_key);
    int64_t when_ms = (int64_t)store_get_number(store, when_key);
    /* a clock that was set back must not silence it */
    bool tell = now_ms >= when_ms + QUIET_MS || now_ms < when_ms;
    if (put_number(store, key, count, error_r) &&
        (!tell || (put_number(store, told_key, count, error_r) &&
                   put_number(store, when_key, (uint64_t)now_ms, error_r))) &&
        store_commit(store, error_r)) {
        *told_r = tell ? count - told : 0;
        return true;
    }
    store_rollback(store);
    return false;
}
