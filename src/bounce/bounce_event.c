#include "bounce/bounce_event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "event/event_report.h"
#include "event/event_store.h"
#include "policy/suppression.h"

#define OLDEST_MS (30 * 24 * 3600000LL) /* a report older than this has a wrong clock */

static bool see_sent(void *context, const struct event *event, enum event_state state)
{
    struct bounce_sent *sent = context;

    (void)state;
    if (event->source == EVENT_SOURCE_BOUNCE || *event->recipient == '\0')
        return true;
    sent->known = true;
    sent->event = *event;
    return false;
}

bool bounce_event_find_sent(struct store *store, const char *message_id, struct bounce_sent *sent_r,
                            struct outcome *error_r)
{
    struct event_filter filter = {.message_id = message_id};

    sent_r->known = false;
    return event_store_each(store, &filter, see_sent, sent_r, error_r);
}

static int64_t timestamp(const struct dsn *report, int64_t now_ms)
{
    bool credible = report->date_ms <= now_ms && report->date_ms > now_ms - OLDEST_MS;

    return credible ? report->date_ms : now_ms;
}

void bounce_event_compose(struct event *event_r, const struct dsn *report,
                          const struct dsn_recipient *recipient, const char *message_id,
                          const struct bounce_sent *sent, int64_t now_ms)
{
    bool known = sent != NULL && sent->known;
    const char *address = recipient->address;

    memset(event_r, 0, sizeof *event_r);
    event_r->cs = recipient->hard ? CS_HARD_BOUNCED : CS_SOFT_BOUNCED;
    event_r->source = EVENT_SOURCE_BOUNCE;
    event_r->timestamp_ms = timestamp(report, now_ms);
    if (known) {
        if (report->count == 1)
            address = sent->event.recipient;
        memcpy(event_r->sender, sent->event.sender, sizeof event_r->sender);
        memcpy(event_r->queue_id, sent->event.queue_id, sizeof event_r->queue_id);
        memcpy(event_r->tpsp, sent->event.tpsp, sizeof event_r->tpsp);
        event_r->tpsp_id = sent->event.tpsp_id;
        memcpy(event_r->provider, sent->event.provider, sizeof event_r->provider);
    }
    snprintf(event_r->message_id, sizeof event_r->message_id, "%s", message_id);
    snprintf(event_r->recipient, sizeof event_r->recipient, "%s", address);
    event_r->smtp_code = recipient->smtp_code;
    memcpy(event_r->smtp_enhanced_code, recipient->status, sizeof event_r->smtp_enhanced_code);
    event_describe(event_r, recipient->text, strlen(recipient->text));
    event_identify(event_r, "");
}

static bool suppress(struct store *store, const struct config *config, const struct event *event,
                     const struct bounce_sent *sent, int64_t now_ms, struct outcome *error_r)
{
    if (event->cs != CS_HARD_BOUNCED || !config->suppression.on_hard_bounce)
        return true;
    if (!sent->known || !address_equal(sent->event.recipient, event->recipient)) {
        log_line(LOG_INFO,
                 "to=<%s>, uuid=%s: not suppressed: nothing here shows that this message was sent to it",
                 event->recipient, event->message_id);
        return true;
    }
    log_line(LOG_INFO, "to=<%s>, uuid=%s: suppressed after a hard bounce: %d %s %s", event->recipient,
             event->message_id, event->smtp_code, event->smtp_enhanced_code, event->smtp_description);
    return suppression_after_hard_bounce(store, config, event->recipient, now_ms, error_r);
}

bool bounce_event_store(struct store *store, const struct config *config, const struct event *events,
                        size_t count, const struct bounce_sent *sent, int64_t now_ms, struct outcome *error_r)
{
    if (!store_begin(store, STORE_DURABLE, error_r))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!event_store_add(store, &events[i], event_report_state(config, &events[i]),
                             event_report_due_ms(config, now_ms), error_r) ||
            !suppress(store, config, &events[i], sent, now_ms, error_r)) {
            store_rollback(store);
            return false;
        }
    return store_commit(store, error_r);
}

bool bounce_event_count(struct store *store, const char *why, struct outcome *error_r)
{
    AUTO_FREE char *key = xasprintf("bounce.%s", why), *next = NULL;

    if (!store_begin(store, STORE_NORMAL, error_r))
        return false;
    next = xasprintf("%llu", (unsigned long long)store_get_number(store, key) + 1);
    if (!store_put(store, key, next, error_r)) {
        store_rollback(store);
        return false;
    }
    return store_commit(store, error_r);
}
