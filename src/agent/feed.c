#include "agent/feed.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/xalloc.h"
#include "event/event_store.h"
#include "policy/slow_down_behind.h"

struct feed {
    const struct config *config;
    struct store *store;
    struct rate_table *table; /* NULL: not opened yet */
    struct replies *replies;
};

struct feed *feed_open(const struct config *config, struct store *store)
{
    struct feed *feed = xcalloc(1, sizeof *feed);

    feed->config = config;
    feed->store = store;
    return feed;
}

void feed_close(struct feed *feed)
{
    if (feed == NULL)
        return;
    rate_table_close(feed->table);
    replies_close(feed->replies);
    free(feed);
}

static bool open_all(struct feed *feed)
{
    struct outcome error;

    if (feed->replies == NULL)
        feed->replies = replies_open_beside(feed->config->path);
    return feed->table != NULL ||
           rate_table_open(&feed->table, feed->config->state_dir, &rate_clock_system, &error);
}

/* The event of the pipe for this recipient. */
struct looking {
    const char *recipient;
    struct event sent;
    bool found;
};

static bool see(void *context, const struct event *sent)
{
    struct looking *looking = context;

    looking->found = *sent->tpsp != '\0' && strcasecmp(sent->recipient, looking->recipient) == 0;
    if (looking->found)
        looking->sent = *sent;
    return !looking->found;
}

void feed_event(struct feed *feed, const struct event *event, int64_t now_ms)
{
    bool bounced = event->cs == CS_HARD_BOUNCED || event->cs == CS_SOFT_BOUNCED;
    static _Thread_local struct looking looking;
    struct outcome error;

    if (!feed->config->slow_down.enabled || (!bounced && event->cs != CS_DEFERRED) ||
        event->timestamp_ms < now_ms - SLOW_DOWN_RECENT_MS)
        return;
    looking.recipient = event->recipient;
    looking.found = false;
    if (!event_store_sent(feed->store, event->message_id, see, &looking, &error) || !looking.found ||
        !open_all(feed))
        return;
    const struct slow_down_said said = {.sent = &looking.sent,
                                        .recipient = event->recipient,
                                        .code = event->smtp_code,
                                        .status = event->smtp_enhanced_code,
                                        .text = event->smtp_description,
                                        .length = strlen(event->smtp_description),
                                        .time_ms = event->timestamp_ms,
                                        .bounced = bounced};
    slow_down_hear_behind(feed->config, feed->table, feed->replies, &said, now_ms);
}
